"""Paging: a list is read one item too far, cut, and its cursor says what stands behind the last item.

A cursor is the text of that item's key, so a page begins where the one before ended, whatever came meanwhile.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.domain.errors import InvalidCursor, InvalidId

T = TypeVar("T")
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    next_cursor: str | None


def page_of(items: Sequence[T], limit: int, key: Callable[[T], str]) -> Page[T]:
    """Return the page of up to `limit + 1` items; the one too many says that there are more."""
    more = len(items) > limit
    return Page(items[:limit], _close(key(items[limit - 1])) if more else None)


def open_cursor(cursor: str | None, read: Callable[[str], Key]) -> Key | None:
    """Return the key that a cursor was made of, None for the first page.

    `read` makes the key of its text. Raises InvalidCursor for a text of which `read` raises ValueError or InvalidId.
    """
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        return read(text)
    except (ValueError, InvalidId) as error:
        raise InvalidCursor from error


def _close(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
