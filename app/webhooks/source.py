"""The shape of a webhook source: how its deliveries are proved, and what they become.

A source is one module of this package that binds `SOURCE`; its file name is its name in `/webhooks/{source}`. Both
functions are pure: they see a delivery and touch nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import app.webhooks


@dataclass(frozen=True, slots=True)
class Incoming:
    """A delivery as it came off the wire; header names in lower case, the body untouched."""

    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was proved and read."""

    id: str
    """Equal for every repeat of one delivery: with the source's name it is the task's idempotency key."""
    event: str
    headers: dict[str, str]
    """The few that say something about the event and are the same in every repeat."""
    body: Any


@dataclass(frozen=True, slots=True)
class Source:
    """One sender of webhooks."""

    variable: str
    """The environment variable that holds its secret."""
    signature: str
    """The header that carries its signature."""
    most_bytes: int
    prove: Callable[[Incoming, str], bool]
    """Whether the signature over the raw body was made with this secret. Never raises, whatever the headers hold."""
    read: Callable[[Incoming], Delivery]
    """Translate a delivery that was proved. Raises InvalidInput for one that does not hold what it should."""


def find_sources() -> dict[str, Source]:
    """Return every source of this package by name."""
    names = [module.name for module in iter_modules(app.webhooks.__path__)]
    modules = {name: import_module(f"{app.webhooks.__name__}.{name}") for name in names}
    return {name: module.SOURCE for name, module in modules.items() if hasattr(module, "SOURCE")}
