"""What the schemes prove with: every secret against every signature, in constant time, over raw bytes.

Nothing here raises, whatever bytes a header holds: what has not the shape of a signature is none.
"""

import hmac
import re
from collections.abc import Callable, Sequence

from app.webhooks.source import Incoming

_MOST_SIGNATURES = 20
"""In one header; a sender that changes its secret sends two."""
_MOST_HEADER_BYTES = 4096
_SECONDS = re.compile(rb"[0-9]{1,12}")


def matching(secrets: Sequence[str], sign: Callable[[bytes], bytes], sent: Sequence[bytes]) -> int | None:
    """Return the place of the secret whose signature was sent; all are tried, so time tells nothing of which."""
    found: int | None = None
    for place, secret in enumerate(secrets):
        wanted = sign(secret.encode())
        good = [hmac.compare_digest(wanted, signature) for signature in sent]
        if any(good):
            found = place
    return found


def hex_digest(algorithm: str, secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, algorithm).hex().encode()


def listed(header: bytes, separator: bytes) -> list[bytes]:
    """Split a header that holds several signatures; one that is longer than anybody's holds none."""
    if len(header) > _MOST_HEADER_BYTES or header.count(separator) > _MOST_SIGNATURES + 1:
        return []
    return [part for part in header.split(separator) if part]


def is_fresh(stamp: bytes, incoming: Incoming) -> bool:
    """Whether a time in whole Unix seconds is near enough to ours, before it or behind it."""
    return bool(_SECONDS.fullmatch(stamp)) and abs(incoming.at - int(stamp)) <= incoming.tolerance_seconds
