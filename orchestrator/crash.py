"""Crash points: named places between two effects at which a process can be told to die, for tests and campaigns.

A point that is not armed costs one call and one look at an empty mapping. AUREA_CRASH_AT arms them, and nothing else
does. A process dies there as by `kill -9`: nothing is flushed, closed or told.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from types import MappingProxyType

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "inserted": "Postgres has the task, Redis has not",
        "enqueued": "Redis has it too, nobody was answered",
        "accepted": "the outbox has it, nobody was answered",
        "popped": "taken from the queue, perhaps leased",
        "claimed": "leased, not begun",
        "recorded": "an ending is in Postgres, Redis was not told",
        "settled": "an ending is in both, the worker has not gone on",
        "stepping": "a step has acted, its result is not kept",
        "stepped": "its result is kept, the handler has not gone on",
        "parked": "a wait is in Postgres, Redis was not told",
        "taken_over": "an expired lease is the sweeper's, its end is not written",
        "announced": "an ending's notes are deliveries, and notes still",
        "relayed": "records of the outbox are in Postgres, and in the outbox still",
    }
)
"""Every point there is, and how things stand there."""

_armed: dict[str, int] = {}
"""How many passes are left until this process dies."""


def arm(points: Sequence[str]) -> None:
    """Arm each `name`, or `name:n` for the n-th pass, in place of what was armed before. Raises ValueError."""
    wanted = dict(_read(point) for point in points)
    _armed.clear()
    _armed.update(wanted)


def at(name: str) -> None:
    """Die here if this is the pass that was armed."""
    if _armed:
        _pass(name)


def check(points: Sequence[str]) -> Sequence[str]:
    """Return the points; raises ValueError for one that does not exist."""
    for point in points:
        _read(point)
    return points


def _pass(name: str) -> None:
    left = _armed.get(name)
    if left is None:
        return
    if left == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    _armed[name] = left - 1


def _read(point: str) -> tuple[str, int]:
    name, _, count = point.partition(":")
    if name not in POINTS:
        raise ValueError(f"there is no crash point {name!r}; there are: {', '.join(POINTS)}")
    if not (count or "1").isdecimal() or int(count or "1") < 1:
        raise ValueError(f"write {name} or {name}:n with a number from 1 on")
    return name, int(count or "1")
