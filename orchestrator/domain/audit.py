"""The audit: what is written of an act, and how lines are chained so that a change to the past shows.

A line's digest is the SHA-256 of its document as compact JSON with sorted keys; its hash is the SHA-256 of the hash
of the line before (32 zero bytes before the first), its number in eight bytes, and its digest. Each tenant has a
trail of his own, numbered from 1.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from orchestrator.domain.ids import TaskId, Tenant

NO_HASH = bytes(32)
"""What stands before the first line."""
_LONGEST_TEXT = 200
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PLACE = ("number", "hash")


@dataclass(slots=True)
class Act:
    """Who did what to which things, from where, and how it was answered."""

    tenant: Tenant
    actor_kind: str
    actor_id: str
    action: str
    status: int
    address: str
    trace_id: str
    targets: Sequence[str]
    details: Mapping[str, str | int]
    shared: bool = False
    """It may stand in one line with others that its caller did at the same moment."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is kept of an act, or of several that share it."""

    id: TaskId
    at: datetime
    act: Act


@dataclass(frozen=True, slots=True)
class KeptLine:
    """A line in its trail."""

    number: int
    line: Line
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines are wanted; None for all."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a trail, as somebody noted it elsewhere."""

    number: int
    hash: str


class Broken(Exception):
    """A trail is not what was written; says where."""


@lru_cache(maxsize=1024)
def storable(text: str) -> str:
    """Return a text from outside as a line may hold it: short, and of characters that Postgres and JSON agree on."""
    return _UNPRINTED.sub("\N{REPLACEMENT CHARACTER}", text[:_LONGEST_TEXT])


def gathered(acts: Sequence[Act]) -> list[Act]:
    """Return acts as they are written: those that share a line as one, in the place of the first.

    Its targets are theirs in order, its trace is the first's, and its details say how many requests there were and,
    in the same order, the digests of their bodies.
    """
    found: list[Act] = []
    shared: dict[tuple[str | int, ...], list[Act]] = {}
    for act in acts:
        if not act.shared:
            found.append(act)
            continue
        kind = (act.tenant, act.actor_kind, act.actor_id, act.action, act.status, act.address)
        if kind in shared:
            shared[kind].append(act)
        else:
            found.append(act)
            shared[kind] = [act]
    for together in shared.values():
        first = together[0]
        first.targets = [target for act in together for target in act.targets]
        bodies = ",".join(str(act.details.get("body_sha256", "")) for act in together)
        first.details = {"body_sha256": bodies, "requests": len(together)}
    return found


def document(line: Line) -> dict[str, Any]:
    """Return what is hashed, and shown."""
    act = line.act
    return {
        "action": act.action,
        "actor": {"id": act.actor_id, "kind": act.actor_kind},
        "address": act.address,
        "at": line.at.isoformat().replace("+00:00", "Z"),
        "details": act.details,
        "id": line.id,
        "status": act.status,
        "targets": act.targets,
        "tenant": act.tenant,
        "trace_id": act.trace_id,
    }


def read_line(told: Mapping[str, Any]) -> Line:
    """Return the line that a document tells of. Raises LookupError, TypeError or ValueError."""
    fields = dict(told)
    actor, at, line_id = fields.pop("actor"), datetime.fromisoformat(fields.pop("at")), fields.pop("id")
    return Line(line_id, at, Act(actor_kind=actor["kind"], actor_id=actor["id"], **fields))


def written(told: Mapping[str, Any]) -> bytes:
    """Return a document as it is hashed."""
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def chained(before: bytes, number: int, digest: bytes) -> bytes:
    return sha256(before + number.to_bytes(8, "big") + digest).digest()


def followed(documents: Iterable[Mapping[str, Any]], noted: Sequence[Head] = ()) -> Iterator[Head]:
    """Check a whole trail, from its first line on, and yield each line's place once it was found good.

    Raises Broken at the first line that was altered, taken out, put in or brought from another trail, and for a noted
    head that is not in it.
    """
    wanted = {head.number: head for head in noted}
    number, before = 0, NO_HASH
    for told in documents:
        number += 1
        if told["number"] != number:
            raise Broken(f"line {number} is missing: line {told['number']} stands in its place")
        content = {name: value for name, value in told.items() if name not in _PLACE}
        before = chained(before, number, sha256(written(content)).digest())
        if told["hash"] != before.hex():
            raise Broken(f"line {number} is not as it was written, or the line before it is another")
        head = wanted.pop(number, None)
        if head is not None and head.hash != told["hash"]:
            raise Broken(f"line {number} is another than the one that was noted: the trail was written anew")
        yield Head(number, told["hash"])
    if wanted:
        raise Broken(f"line {min(wanted)} was noted and is missing: the trail ends with line {number}")
