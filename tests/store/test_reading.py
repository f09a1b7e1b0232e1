"""Reading: one tenant's tasks, newest first, narrowed and in pages."""

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.domain.filters import DeadFilter, DeadGroup, TaskFilter
from orchestrator.domain.ids import Fence, TaskId, Tenant, task_id
from orchestrator.domain.states import State
from orchestrator.domain.task import NewTask, TaskError
from orchestrator.ledger.postgres import PostgresLedger
from tests.store.samples import CLOCK, FLAKY, TENANT, claim_of, ending_of, failed, new_task

OTHER = Tenant("other")


async def ids(ledger: PostgresLedger, wanted: TaskFilter, before: TaskId | None = None, limit: int = 50) -> list[str]:
    return [task.id for task in await ledger.page(TENANT, wanted, before, limit)]


async def in_every_state(ledger: PostgresLedger) -> dict[State, NewTask]:
    reached = (
        State.SCHEDULED, State.QUEUED, State.RUNNING, State.RETRYING, State.SUCCEEDED, State.FAILED, State.CANCELLED,
    )  # fmt: skip
    tasks = {state: new_task(run_at=CLOCK.now() if state is State.SCHEDULED else None) for state in reached}
    await ledger.insert(list(tasks.values()))
    await ledger.start([claim_of(tasks[State.RUNNING], 5)])
    outcomes = {State.RETRYING: failed(FLAKY), State.FAILED: failed()}
    await ledger.settle([ending_of(claim_of(tasks[state], 5), outcome) for state, outcome in outcomes.items()])
    await ledger.settle([ending_of(claim_of(tasks[State.SUCCEEDED], 5))])
    await ledger.cancel(TENANT, tasks[State.CANCELLED].id, Fence(5))
    return tasks


async def test_a_page_holds_every_state_newest_first(ledger: PostgresLedger) -> None:
    tasks = await in_every_state(ledger)
    await ledger.insert([new_task(tenant=OTHER)])
    assert await ids(ledger, TaskFilter()) == sorted((task.id for task in tasks.values()), reverse=True)


async def test_a_state_narrows_to_its_tasks(ledger: PostgresLedger) -> None:
    tasks = await in_every_state(ledger)
    for state, task in tasks.items():
        assert await ids(ledger, TaskFilter(status=state)) == [task.id]
    assert await ids(ledger, TaskFilter(status=State.WAITING)) == []


@pytest.mark.parametrize("wanted", [TaskFilter(), TaskFilter(status=State.QUEUED)])
async def test_pages_put_together_are_the_whole(ledger: PostgresLedger, wanted: TaskFilter) -> None:
    tasks = [new_task() for _ in range(7)]
    await ledger.insert(tasks)
    seen: list[str] = []
    while page := await ids(ledger, wanted, TaskId(seen[-1]) if seen else None, limit=3):
        seen += page
    assert seen == [task.id for task in reversed(tasks)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"type": "deploy"}, {"type": "deploy"}),
        ({"queue": "slow"}, {"queue": "slow"}),
        ({"tags": {"team": "docs", "env": "live"}}, {"tag": ("team", "docs")}),
        ({"parent_id": "01997c0e-0000-7000-8000-000000000001"}, {"parent_id": "01997c0e-0000-7000-8000-000000000001"}),
        ({"type": "deploy_site"}, {"q": "LOY_s"}),
        ({"idempotency_key": "doc-42"}, {"q": "Doc-4"}),
        ({"tags": {"team": "Größe"}}, {"q": "größE"}),
        ({"type": "50%_off"}, {"q": "0%_o"}),
    ],
)
async def test_each_filter_finds_what_fits_it(
    ledger: PostgresLedger, given: dict[str, Any], wanted: dict[str, Any]
) -> None:
    fitting = new_task(**given)
    await ledger.insert([new_task(), fitting, new_task(tags={"team": "sales"}), new_task(tenant=OTHER, **given)])
    assert await ids(ledger, TaskFilter(**wanted)) == [fitting.id]
    assert await ids(ledger, TaskFilter(status=State.QUEUED, **wanted)) == [fitting.id]
    assert await ids(ledger, TaskFilter(status=State.FAILED, **wanted)) == []


async def test_text_is_found_in_an_error(ledger: PostgresLedger) -> None:
    tasks = await in_every_state(ledger)
    assert await ids(ledger, TaskFilter(q="SUCH PAGE")) == [tasks[State.FAILED].id]


async def test_times_of_creation_narrow_from_a_moment_and_up_to_before_one(ledger: PostgresLedger) -> None:
    start = CLOCK.now()
    moments = [start + timedelta(hours=hour) for hour in range(6)]
    tasks = [new_task(id=task_id(int(at.timestamp() * 1000), 1), created_at=at) for at in moments]
    await ledger.insert(tasks)
    window = TaskFilter(created_after=moments[2], created_before=moments[4])
    assert await ids(ledger, window) == [tasks[3].id, tasks[2].id]
    assert await ids(ledger, window, before=tasks[3].id) == [tasks[2].id]
    assert await ids(ledger, TaskFilter(created_before=moments[1])) == [tasks[0].id]
    assert await ids(ledger, TaskFilter(created_after=moments[5])) == [tasks[5].id]


async def test_times_beyond_what_an_id_can_carry_narrow_all_the_same(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    early, late = CLOCK.now().replace(year=1000), CLOCK.now().replace(year=9998)
    assert await ids(ledger, TaskFilter(created_after=early, created_before=late)) == [task.id]
    assert await ids(ledger, TaskFilter(created_before=early)) == []
    assert await ids(ledger, TaskFilter(created_after=late)) == []


async def test_another_tenants_task_reads_as_unknown(ledger: PostgresLedger) -> None:
    task = new_task()
    await ledger.insert([task])
    assert await ledger.read(OTHER, task.id) is None


async def kill(ledger: PostgresLedger, fingerprint: str, count: int, **given: Any) -> list[NewTask]:
    tasks = [new_task(**given) for _ in range(count)]
    await ledger.insert(tasks)
    error = TaskError("ValueError", f"message of {fingerprint}", retryable=False, fingerprint=fingerprint)
    await ledger.settle([ending_of(claim_of(task, 5), failed(error)) for task in tasks])
    return tasks


async def test_dead_letters_are_listed_by_type_and_cause(ledger: PostgresLedger) -> None:
    one = await kill(ledger, "f-1", 3)
    two = await kill(ledger, "f-2", 2, type="deploy")
    await kill(ledger, "f-1", 1, tenant=OTHER)
    await in_every_state(ledger)

    async def found(wanted: DeadFilter, before: TaskId | None = None, limit: int = 50) -> list[str]:
        return [task.id for task in await ledger.dead(TENANT, wanted, before, limit)]

    newest_first = [task.id for task in reversed(one)]
    assert await found(DeadFilter(fingerprint="f-1")) == newest_first
    assert await found(DeadFilter(fingerprint="f-1"), newest_first[0], 1) == newest_first[1:2]
    assert await found(DeadFilter(type="deploy")) == [task.id for task in reversed(two)]
    assert await found(DeadFilter(type="deploy", fingerprint="f-1")) == []
    assert len(await found(DeadFilter())) == 6
    assert await ledger.dead_ids(TENANT, DeadFilter(fingerprint="f-1"), 2) == [task.id for task in one[:2]]
    assert await ledger.dead_ids(TENANT, DeadFilter(type="deploy"), 9) == [task.id for task in two]


async def test_dead_letters_are_counted_by_cause_the_largest_group_first(ledger: PostgresLedger) -> None:
    await kill(ledger, "f-1", 1)
    many = await kill(ledger, "f-2", 3, type="deploy")
    await kill(ledger, "f-2", 1, tenant=OTHER)
    last = await ledger.read(TENANT, many[-1].id)
    assert last is not None
    assert last.finished_at is not None
    found = await ledger.dead_groups(TENANT)
    assert found[0][0] == many[-1].id
    groups = [group for _, group in found]
    assert groups[0] == DeadGroup("f-2", "deploy", 3, "message of f-2", last.finished_at)
    assert [(group.fingerprint, group.type, group.count) for group in groups[1:]] == [("f-1", "resize", 1)]
    assert await ledger.dead_groups(TENANT, limit=1) == found[:1]
