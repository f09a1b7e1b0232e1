"""The matrix: every route, every way to name something, every task of theirs; and what a tenant learns by it."""

import asyncio
import re
from collections.abc import Collection
from dataclasses import astuple
from datetime import UTC, datetime

import httpx2

from orchestrator.domain.ids import WorkerId
from orchestrator.queue.presence import WorkerCard
from tests.tenants.cases import CASES, CREATED, PLAIN, Case, Names
from tests.tenants.world import CANARY, MINE, QUEUE, THEIRS, World

_NOBODY = "zqnobody"
_NO_QUEUE = "zqquiet"
_PATIENCE_SECONDS = 5.0
_OF_QUEUES = ("queues_list", "metrics_scrape")
"""Who may see the system sees its queues by name."""
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")
_TRACE = re.compile(r'"trace_id":"[0-9a-f]{32}"')
_PASSING = ("date", "traceparent", "x-request-id", "x-trace-id")


async def leaks(world: World, states: Collection[str]) -> list[str]:
    """Every case in which mine learns something of their tasks in these states, as a line that names it."""
    found = []
    for operation, cases in CASES.items():
        for place, case in enumerate(cases):
            for state in ["queued"] if operation in PLAIN else states:
                told = await _learned(world, operation, case, state)
                found += [f"{operation} {place}, of the {state} one: {told}"] if told else []
    return found


async def _learned(world: World, operation: str, case: Case, state: str) -> str:
    theirs, nobodys = named(world, state), twinned(world, state)
    got = await learned(world, operation, case, theirs)
    secret = [
        CANARY,
        *world.theirs.values(),
        *astuple(world.things[THEIRS]),
        *([] if operation in _OF_QUEUES else [QUEUE]),
    ]
    if any(word in got for word in secret):
        return f"it tells {got[:600]}"
    if operation in PLAIN:
        return ""
    expected = await learned(world, operation, case, nobodys)
    return "" if got == expected else f"{got[:600]!r} instead of {expected[:600]!r}"


def named(world: World, state: str) -> Names:
    own, things = world.mine["succeeded"], world.things[THEIRS]
    return Names(
        own, world.things[MINE].subscription, world.theirs[state], things.file, things.subscription, things.told_task,
        things.delivery, things.api_key, f"{CANARY}-{state}", CANARY, f"{QUEUE}-{state}",
    )  # fmt: skip


def twinned(world: World, state: str) -> Names:
    """Names of nothing that stand where theirs stand, in the order of ids as well."""
    theirs = named(world, state)
    twins = [_twin(each) for each in (theirs.task, *astuple(world.things[THEIRS]))]
    words = (f"{_NOBODY}-{state}", _NOBODY, f"{_NO_QUEUE}-{state}")
    return Names(theirs.own, theirs.own_subscription, *twins, *words)


def _twin(task_id: str) -> str:
    last = task_id[-1]
    return f"{task_id[:-1]}{int(last, 16) ^ 1:x}" if last in "0123456789abcdef" else f"{task_id[:-1]}0"


async def learned(world: World, operation: str, case: Case, names: Names) -> str:
    """All that an answer tells, without what it repeats of the request and what differs in every answer."""
    method, path, given = case(names)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            answer = await world.ask(MINE, method, path, **given)
    except Exception as error:  # noqa: BLE001 - it differs from an answer, and that is a finding
        return repr(error)
    text = _TRACE.sub("", _text(answer))
    for name in names.told:
        text = text.replace(name, "…")
    if operation in CREATED:
        text = _MOMENT.sub("<moment>", _ID.sub("<id>", text))
    return text


def _text(answer: httpx2.Response) -> str:
    headers = sorted(f"{name}: {value}" for name, value in answer.headers.items() if name not in _PASSING)
    return "\n".join([str(answer.status_code), *headers, answer.text])


async def announce(world: World) -> None:
    """A worker that runs tasks of both."""
    running = (world.mine["running"], world.theirs["running"])
    card = WorkerCard(WorkerId("worker-1"), "host", 7, "0.1.0", (), 8, datetime(2026, 1, 1, tzinfo=UTC), running)
    await world.door.runtime.presence.announce(card, 600_000)
