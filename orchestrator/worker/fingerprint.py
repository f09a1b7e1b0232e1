"""The fingerprint of a failure: equal for failures with the same cause, so that dead letters can be grouped.

It is made of the task type, the kind of error, its message without what varies (numbers, ids, quoted parts), and
the innermost place in the handler's own code, by file and function: an edit above it changes nothing.
"""

import re
from hashlib import sha256
from pathlib import PurePath
from types import TracebackType

_VARYING = re.compile(
    r"(?<!\w)'[^']*'(?!\w)"  # quoted, but no apostrophe
    r'|"[^"]*"|`[^`]*`'
    r"|\b0x[0-9a-f]+"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b(?=[a-f]*[0-9])[0-9a-f]{7,}\b"  # a hash; a word of the letters a to f has no digit
    r"|[0-9]+(?:\.[0-9]+)*",
    re.IGNORECASE,
)


def fingerprint(task_type: str, kind: str, message: str, place: str) -> str:
    """Return 16 hexadecimal digits."""
    return sha256("\n".join((task_type, kind, _VARYING.sub("#", message), place)).encode()).hexdigest()[:16]


def place_of(error: BaseException, module: str) -> str:
    """Return file and function of the innermost frame in the package of `module`; empty when there is none."""
    package = module.partition(".")[0]
    place = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            place = f"{PurePath(code.co_filename).name}:{code.co_name}"
        trace = trace.tb_next
    return place
