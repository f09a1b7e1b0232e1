"""The two ways in which a handler decides its own ending. Any other exception is retried with backoff."""

import math


class Terminal(Exception):
    """Fail for good: no retry can help. The task becomes a dead letter, which can be replayed by hand."""


class Retry(Exception):
    """Fail now and try again after so many seconds; without `after`, by the handler's backoff."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        if after is not None and not (math.isfinite(after) and after >= 0):
            raise ValueError(f"Retry(after=...) takes seconds from now, not {after!r}")
        super().__init__(reason)
        self.after = after
