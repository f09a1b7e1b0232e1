"""Identifiers: their types, and how a task's id is built.

A task id is a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 bits that only grow inside one
millisecond of one process. Text order is creation order, which the queue uses to break ties.
"""

import re
from datetime import datetime, timedelta
from typing import NewType

from orchestrator.domain.errors import InvalidId, InvalidInput, Issue

TaskId = NewType("TaskId", str)
"""Lower-case, hyphenated UUIDv7."""
Tenant = NewType("Tenant", str)
"""On whose behalf; from outside by `parse_tenant` alone."""
WorkerId = NewType("WorkerId", str)
Fence = NewType("Fence", int)
"""A number that only grows; the writes of an older one change nothing."""

LOWEST_ID = TaskId("00000000-0000-0000-0000-000000000000")
HIGHEST_ID = TaskId("ffffffff-ffff-ffff-ffff-ffffffffffff")
"""Below and above every task's."""
DEFAULT_TENANT = Tenant("default")
_TAIL_BITS = 74
_LONGEST_TENANT = 64
_TENANT = re.compile(rf"(?!\.{{1,2}}$)[A-Za-z0-9_.-]{{1,{_LONGEST_TENANT}}}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def task_id(unix_ms: int, tail: int) -> TaskId:
    """Build the UUIDv7 of a millisecond and 74 free bits."""
    tail &= (1 << _TAIL_BITS) - 1
    high, low = tail >> 62, tail & ((1 << 62) - 1)
    text = f"{(unix_ms << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low:032x}"
    return TaskId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def first_id(moment: datetime, shift: timedelta = timedelta()) -> TaskId:
    """Return the lowest id of the millisecond `shift` away from a moment, as far as ids reach."""
    unix_ms = int((moment.timestamp() + shift.total_seconds()) * 1000)
    return task_id(min(max(unix_ms, 0), 2**48 - 1), 0)


def is_tenant(text: str) -> bool:
    """Whether a text may name a tenant."""
    return _TENANT.fullmatch(text) is not None


def parse_tenant(text: str, pointer: str) -> Tenant:
    """Return the tenant that a text names, wherever it comes from: a header, a token, a configuration, a command.

    Raises InvalidInput at the pointer. The empty name is none: in tables of sums it stands for the whole system.
    """
    if not is_tenant(text):
        fix = "a tenant's name has 1 to 64 of the characters A-Z a-z 0-9 _ . -"
        shown = repr(text) if len(text) <= _LONGEST_TENANT else f"a name of {len(text)} characters"
        raise InvalidInput(f"{shown} names no tenant: {fix}", [Issue(pointer, fix)])
    return Tenant(text)


def parse_task_id(text: str) -> TaskId:
    """Return the id in its canonical form; raises InvalidId for anything that is not a UUID."""
    lowered = text.lower()
    if not _UUID.fullmatch(lowered):
        raise InvalidId(text)
    return TaskId(lowered)
