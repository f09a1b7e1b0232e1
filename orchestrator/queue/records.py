"""How a task is written in its hash, and how a claim's reply is read back.

Fields of `aurea:tasks:{id}`:
  task       JSON array of what never changes: queue, priority, tenant, type, max_retries, timeout_seconds,
             traceparent, expires_at in µs or null, and 1 behind them if its parent called it. One field for all
             saves a third of a queued task's memory, and is parsed in one call
  payload    the JSON the caller sent
  status     the public state name
  epoch      under which it was put in the queue; 0 when there was none
  attempt    how many have started; absent for 0
  crashes    how many of those ended in a crash; absent for 0
  lease      once claimed: `{worker}:{fence} {started_at µs} {score}`, the score being its place in the queue
  lost       once taken over: the fence of the run whose lease ran out
  progress   JSON, while it runs
  asked      once accepted while Postgres was away: the place in the outbox of the record of its insert
  ended      once settled into the outbox: the fence of that run
  record     once it is over, until Postgres knows: the place of the record of that
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orjson import dumps, loads

from orchestrator.domain.ids import Fence, TaskId, Tenant, WorkerId
from orchestrator.domain.outbox import Holder, KeyHold, RecordKind, Waiting
from orchestrator.domain.states import State
from orchestrator.domain.task import Claim, Entry
from orchestrator.queue.port import Held, Live, Value
from orchestrator.queue.scripts import Arg

LIVE_FIELDS = ("status", "attempt", "lease", "progress", "ended")


def write_record(entry: Entry, attempt: int, crashes: int) -> list[Arg]:
    """Return fields and values of the task's hash, but status and epoch, which the scripts write."""
    facts = (
        entry.queue, entry.priority, entry.tenant, entry.type, entry.max_retries, entry.timeout_seconds,
        entry.traceparent, entry.expires_at_us, *((1,) if entry.called else ()),
    )  # fmt: skip
    record: list[Arg] = ["task", dumps(facts), "payload", entry.payload]
    if attempt:
        record += ("attempt", attempt)
    if crashes:
        record += ("crashes", crashes)
    return record


def write_entry(entry: Entry) -> list[Arg]:
    """Return what enqueue.lua and its like take for a task."""
    ready: Arg = "" if entry.ready_at_us is None else entry.ready_at_us
    aside = State.RETRYING.value if entry.retrying else State.SCHEDULED.value
    record = write_record(entry, entry.attempt, entry.crashes)
    return [entry.id, entry.queue, entry.priority, ready, aside, int(entry.restored), len(record), *record]


def write_hold(task_id: TaskId, key: KeyHold | None) -> tuple[Arg, Arg, Arg]:
    """Return the name of a key, the hold on it but for where its task is stored, and its life in ms."""
    if key is None:
        return "", "", ""
    life = "u" if key.until_final else "f"
    return key.name, f"{task_id} {key.fingerprint.hex()} {life}", max(1, key.hold_ms)


def read_kept(reply: Sequence[Any]) -> list[bool | Holder]:
    """Read for each task whether it was put in, or who holds its key."""
    return [answer == 1 if isinstance(answer, int) else _read_holder(answer) for answer in reply]


def _read_holder(hold: bytes) -> Holder:
    task_id, fingerprint, _, _ = hold.decode().split(" ")
    return Holder(TaskId(task_id), bytes.fromhex(fingerprint))


def read_place(stream_id: bytes) -> str:
    """Return a stream's id as text that grows as the id does."""
    milliseconds, _, number = stream_id.decode().partition("-")
    return f"{milliseconds:0>15}-{number:0>10}"


def write_place(place: str) -> str:
    """Return the stream's id."""
    milliseconds, _, number = place.partition("-")
    return f"{int(milliseconds)}-{int(number)}"


def read_waiting(stream_id: bytes, fields: dict[bytes, bytes]) -> Waiting:
    """Read an entry of the outbox."""
    return Waiting(
        place=read_place(stream_id),
        kind=RecordKind(fields[b"kind"].decode()),
        task_id=TaskId(fields[b"task"].decode()),
        fence=Fence(int(fields[b"fence"])),
        key=fields[b"key"].decode(),
        record=fields[b"record"],
    )


def read_claims(reply: Sequence[Any], worker: WorkerId, step_us: int) -> list[Claim]:
    """Read what claim.lua answers: word, now, epoch, then a row per task."""
    _, now_us, open_epoch, *rows = reply
    claims = []
    for at_us, (record, payload, crashes, epoch, task_id, fence, attempt, score) in enumerate(rows, now_us):
        (
            queue, priority, tenant, type_name, max_retries, timeout_seconds, traceparent, expires_at_us, *called
        ) = loads(record)  # fmt: skip
        ready_at_us = score - priority * step_us
        entry = Entry(
            task_id.decode(), tenant, type_name, queue, priority, payload, max_retries, timeout_seconds, traceparent,
            attempt - 1, int(crashes or 0), ready_at_us, expires_at_us, called=bool(called),
        )  # fmt: skip
        expired = expires_at_us is not None and attempt == 1 and expires_at_us <= now_us
        claims.append(
            Claim(entry, fence, attempt, worker, at_us, max(0, at_us - ready_at_us), epoch == open_epoch, expired)
        )
    return claims


def read_taken_over(reply: Sequence[Any], worker: WorkerId, step_us: int) -> tuple[list[Claim], list[TaskId]]:
    """Read what take_over.lua answers: the same, and behind each row the fence of the run that was lost.

    Such a task has started, so it does not expire any more. In between stand bare ids: leases of forgotten tasks.
    """
    head, rows = reply[:3], [row for row in reply[3:] if isinstance(row, list)]
    claims = read_claims([*head, *(row[:-1] for row in rows)], worker, step_us)
    over = [replace(claim, expired=False, lost=Fence(row[-1])) for claim, row in zip(claims, rows, strict=True)]
    return over, [TaskId(row.decode()) for row in reply[3:] if not isinstance(row, list)]


def read_live(values: Sequence[bytes | None]) -> Live | None:
    """Read the LIVE_FIELDS of a hash; None when there is no hash."""
    status, attempt, lease, progress, ended = values
    if status is None:
        return None
    if lease is None:
        return Live(State(status.decode()), int(attempt or 0), Fence(int(ended or 0)), None, None, progress)
    holder, started_at, _ = lease.decode().rsplit(" ", 2)
    worker, _, fence = holder.rpartition(":")
    return Live(
        State(status.decode()), int(attempt or 0), Fence(int(fence)), WorkerId(worker), int(started_at), progress
    )


def read_held(reply: Sequence[Any], task_id: TaskId, step_us: int) -> Held | None:
    """Read what held.lua answers."""
    if reply[0] == b"unknown":
        return None
    _, due_at_us, place, asked, settled, (record, payload, crashes, *values) = reply
    live = read_live(values)
    if live is None:
        return None
    (
        queue, priority, tenant, type_name, max_retries, timeout_seconds, traceparent, expires_at_us, *called
    ) = loads(record)  # fmt: skip
    lease = values[2]
    if lease is not None:
        place = lease.rsplit(b" ", 1)[1]
    ready_at_us = None if place is None else int(float(place)) - priority * step_us
    if due_at_us is not None:
        ready_at_us = int(float(due_at_us))
    entry = Entry(
        task_id, tenant, type_name, queue, priority, payload, max_retries, timeout_seconds, traceparent,
        live.attempt, int(crashes or 0), ready_at_us, expires_at_us, live.status is State.RETRYING, bool(called),
    )  # fmt: skip
    return Held(entry, live, asked, settled)


def read_ids(reply: Sequence[Any]) -> list[TaskId]:
    """Read a word and ids."""
    return [TaskId(task_id.decode()) for task_id in reply[1:]]


def read_values(task_id: TaskId, row: Sequence[bytes | None], results: dict[bytes, bytes]) -> list[Value]:
    """Read the fields task and payload of a hash, and the results of steps beside it; nothing when there is no hash."""
    record, payload = row
    if record is None or payload is None:
        return []
    tenant = Tenant(loads(record)[2])
    kept = [Value(task_id, tenant, name.decode(), result) for name, result in results.items()]
    return [Value(task_id, tenant, None, payload), *kept]
