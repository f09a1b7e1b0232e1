"""How long an answer asks to be left alone, by the clock of whoever sent it: a wrong clock here spoils no wait."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from orchestrator.domain.retry_after import seconds_asked


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return what `Retry-After` asks for, from 0 to a week; None when it says nothing.

    It is a number of seconds or a date. A date is counted from the answer's `Date`, and says nothing without one.
    """
    return seconds_asked(headers.get("retry-after", "").strip(), sent_at(headers))


def sent_at(headers: Mapping[str, str]) -> datetime | None:
    """Return the answer's `Date`; None when it has none that can be read."""
    try:
        moment = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment
