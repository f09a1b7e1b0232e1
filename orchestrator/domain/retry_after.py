"""What a Retry-After header asks for: a number of seconds, or the moment to come back (RFC 9110)."""

import math
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 7 * 86_400.0
"""More than a week is taken for a mistake of the other side."""


def seconds_asked(text: str, now: datetime | None) -> float | None:
    """Return the seconds from now; None for what says nothing. Where it is not known what is now, only numbers do."""
    try:
        seconds = float(text)
    except ValueError:
        if now is None:
            return None
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError):  # no date, or one that names no zone
            return None
    return min(LONGEST_WAIT_SECONDS, max(0.0, seconds)) if math.isfinite(seconds) else None
