"""Columns of a batch, as `unnest` takes them. The driver spends more on an element than Python on making it, nulls
included: so a column is sent as short as the statement can bear.
"""

from typing import Any


def once(values: list[Any]) -> list[Any]:
    """A value that all rows share is sent once, and the statement repeats it."""
    return values[:1] if len(set(values)) == 1 else values


def sparse(values: list[Any]) -> list[Any]:
    """Of a column without a value nothing is sent: `unnest` fills it with nulls."""
    return values if values.count(None) < len(values) else []
