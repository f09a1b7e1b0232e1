"""What HTTP/1.1 asks of a head beyond its grammar (RFC 9112), where the parser lets more through.

One host, a version and a framing that every reader takes alike: a proxy that read another host or another end of the
body than we do would mix up whose request is whose.
"""

import re
from collections.abc import Sequence

NOT_HTTP = "this is not HTTP/1.1"
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[A-Za-z0-9:.%_~-]+\])(?::[0-9]{0,5})?")
_VERSIONS = frozenset({"1.0", "1.1"})


def fault_of(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Say why a head is refused, None for a good one; names of headers are in lower case."""
    if version not in _VERSIONS:
        return NOT_HTTP
    if b"#" in target:
        return "an address has no fragment (#) here: leave it away"
    hosts = codings = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                return "the header Host is no host, with or without a port"
        elif name == b"transfer-encoding":
            codings += 1
            if version == "1.0" or value.rpartition(b",")[2].strip().lower() != b"chunked":
                return "the end of the body cannot be told: send Content-Length, or Transfer-Encoding: chunked"
    if codings > 1:
        return "the header Transfer-Encoding stands more than once: send it once"
    if hosts > 1:
        return f"the header Host stands {hosts} times: send it once"
    return None if hosts or version == "1.0" else "HTTP/1.1 needs the header Host: send it"
