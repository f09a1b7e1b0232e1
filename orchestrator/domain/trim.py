"""Bytes that wait, in no more memory than they need.

What orjson returns stays in the buffer it was written to, which is 4 KiB at the least and often ten times the text.
Bytes that are sent on at once may stay there; what waits for a commit, perhaps among a thousand others, is trimmed.
"""


def trimmed(encoded: bytes) -> bytes:
    """Return equal bytes in a buffer of their size."""
    return b"".join((encoded, b""))  # of one part alone it would return that part
