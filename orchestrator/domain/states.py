"""The states of a task and the moves between them.

One table, three readers: this Enum, the SQL type of the same values, and docs/states.md. A house test
holds them equal. Only `retry` leaves a final state.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a task stands; the names are public."""

    SCHEDULED = "scheduled"  # due later
    QUEUED = "queued"  # may be claimed
    RUNNING = "running"  # a worker holds its lease
    RETRYING = "retrying"  # waits for its next attempt
    WAITING = "waiting"  # holds no worker: for a child, a timer, an event or a person
    SUCCEEDED = "succeeded"  # its result is kept
    FAILED = "failed"  # a dead letter
    CANCELLED = "cancelled"  # somebody stopped it
    EXPIRED = "expired"  # not started before its `expires_at`


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.QUEUED, State.CANCELLED, State.EXPIRED}),
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.EXPIRED}),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,
            State.FAILED,
            State.RETRYING,
            State.WAITING,
            State.QUEUED,
            State.CANCELLED,
        }
    ),
    State.RETRYING: frozenset({State.QUEUED, State.CANCELLED}),
    State.WAITING: frozenset({State.QUEUED, State.FAILED, State.CANCELLED}),
    State.SUCCEEDED: frozenset({State.QUEUED}),
    State.FAILED: frozenset({State.QUEUED, State.SCHEDULED}),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.EXPIRED: frozenset({State.QUEUED}),
}


class RunStatus(StrEnum):
    """How one attempt stands or ended."""

    RUNNING = "running"  # its worker holds the lease
    SUCCEEDED = "succeeded"  # the handler returned
    FAILED = "failed"  # the handler raised, or its time was up
    RELEASED = "released"  # given back by a worker that left; not counted as an attempt
    CRASHED = "crashed"  # its worker vanished
    CANCELLED = "cancelled"  # stopped while it ran
    PARKED = "parked"  # the task waits; its next run goes on from the steps it has finished
