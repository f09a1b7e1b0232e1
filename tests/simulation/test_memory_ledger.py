"""The memory ledger against Postgres: the same statements in the same order, the same answers, the same rows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import orjson
import pytest

from orchestrator.domain.ids import TaskId
from orchestrator.domain.outcome import Crashed, Expired, Failed, Released, Succeeded, Unbegun, Unfit
from orchestrator.domain.task import Claim, NewTask, Settlement, Task
from orchestrator.ledger.outbox_records import Step
from orchestrator.ledger.postgres import PostgresLedger
from tests.simulation.memory_ledger import memory_ledger
from tests.simulation.memory_rows import TASK, Tables
from tests.store.samples import BROKEN, FLAKY, TENANT, claim_of, ending_of, new_task, told

STATEMENTS = 300
KEYS = ["a", "b"]
OFTEN = {"insert", "start", "settle", "save_step", "reopen"}
LONG_AGO, FAR_OFF = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
NOWISH = timedelta(minutes=10)
Arguments = Callable[[], Sequence[Any]]
JSON = {"payload", "result", "error", "progress", "tags"}

RUNS = """select task_id::text, fence, attempt, status::text, worker_id, started_at, finished_at, error, becomes::text,
  ended_by from orchestrator_runs order by task_id, fence"""


def blunt(value: Any) -> Any:
    """A value without what two clocks tell apart: every moment of now is the same."""
    if isinstance(value, datetime):
        return "now" if abs(value - datetime.now(UTC)) < NOWISH else value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: blunt(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list):
        return [blunt(each) for each in value]
    if isinstance(value, dict):
        return {name: blunt(each) for name, each in value.items()}
    if isinstance(value, int) and abs(value - datetime.now(UTC).timestamp() * 1e6) < NOWISH.total_seconds() * 1e6:
        return "now"
    return value


def parsed(row: Any) -> dict[str, Any]:
    values = dict(row)
    for name in JSON & values.keys():
        values[name] = None if values[name] is None else orjson.loads(values[name])
    return {
        name: str(value) if name in ("status", "becomes") and value else blunt(value) for name, value in values.items()
    }


class Walk:
    """Draws one act after the other and lets both ledgers do it."""

    def __init__(self, pool: asyncpg.Pool, seed: int) -> None:
        self.pool = pool
        self.random = Random(seed)
        self.tables = Tables(lambda: datetime.now(UTC))
        self.postgres = PostgresLedger(pool)
        self.memory = memory_ledger(self.tables)
        self.tasks: list[NewTask] = []

    async def same(self, act: Callable[[PostgresLedger], Awaitable[Any]]) -> None:
        expected, got = await act(self.postgres), await act(self.memory)
        assert blunt(got) == blunt(expected)

    async def compare(self) -> None:
        columns = ", ".join(f"{name}::text" if name in ("id", "parent_id", "status") else name for name in TASK)
        tasks = [parsed(row) for row in await self.pool.fetch(f"select {columns} from orchestrator_tasks order by id")]
        assert [parsed(row) for _, row in sorted(self.tables.tasks.items())] == tasks
        runs = [parsed(row) for row in await self.pool.fetch(RUNS)]
        shown = [{name: run[name] for name in run if name != "tenant"} for _, run in sorted(self.tables.runs.items())]
        assert [parsed(run) for run in shown] == runs
        events = await self.pool.fetch("select task_id::text, fence, number from orchestrator_events order by 1, 2, 3")
        assert sorted(self.tables.events) == [tuple(row) for row in events]
        steps = await self.pool.fetch("select task_id::text, name, fence, result from orchestrator_steps order by 1, 2")
        kept = sorted((*place, step["fence"], step["result"]) for place, step in self.tables.steps.items())
        assert kept == [tuple(row) for row in steps]

    def fresh(self) -> NewTask:
        draw = self.random
        key = draw.choice([None, *KEYS])
        task = new_task(
            idempotency_key=key,
            payload=draw.choice([b'{"size":1}', b'{"size":2}']),
            key_until_final=draw.random() < 0.5,
            key_expires_at=draw.choice([None, None, LONG_AGO, FAR_OFF]) if key else None,
            run_at=draw.choice([None, None, FAR_OFF]),
            expires_at=draw.choice([None, LONG_AGO, FAR_OFF]),
            tags={"colour": "red"} if draw.random() < 0.3 else {},
        )
        self.tasks = [*self.tasks, task][-6:]
        return task

    def some(self) -> NewTask:
        return self.random.choice(self.tasks)

    def few(self) -> list[NewTask]:
        return self.random.sample(self.tasks, self.random.randint(1, min(3, len(self.tasks))))

    def ids(self) -> list[TaskId]:
        return [task.id for task in self.few()]

    def fence(self, task: NewTask | None = None) -> Any:
        """One around the fence that a task's row carries."""
        row = self.tables.tasks.get((task or self.some()).id)
        return max(1, (row["fence"] if row else 0) + self.random.choice([-1, 0, 0, 1, 1, 2]))

    def claim(self, task: NewTask, lost: int | None = None) -> Claim:
        attempt, crashes = self.random.randint(1, 3), self.random.randint(0, 2)
        return claim_of(
            task, self.fence(), attempt, worker=self.random.choice(["w1", "w2"]), crashes=crashes, lost=lost
        )

    def ending(self, task: NewTask) -> Settlement:
        outcomes = [
            Succeeded(b'{"size":12}'), Failed(BROKEN), Failed(FLAKY), Failed(FLAKY, 5.0), Released(), Unbegun(),
            Unfit(FLAKY, 3.0), Expired(), Crashed(), Crashed(),
        ]  # fmt: skip
        outcome = self.random.choice(outcomes)
        claim = self.claim(task)
        if isinstance(outcome, Crashed) and self.random.random() < 0.8:
            lost = self.random.randint(1, claim.fence)
            claim = replace(claim, lost=None if lost == claim.fence else lost)
        return ending_of(claim, outcome, self.random.choice([None, b"[0.5]"]))

    async def act(self) -> None:
        while len(self.tasks) < 2:
            self.fresh()
        acts = {**self.writes(), **self.moves(), **self.questions()}
        weights = [6 if name in OFTEN else 2 for name in acts]
        (name,) = self.random.choices(list(acts), weights)
        await self.same(self._call(name, *acts[name]()))

    def writes(self) -> dict[str, Arguments]:
        """What attempts and the relay write: the ledger's methods, and what draws their arguments."""
        few, draw = self.few, self.random.choice
        return {
            "start": lambda: ([self.claim(task) for task in few()],),
            "settle": lambda: ([self.ending(task) for task in few()],),
            "settle late": lambda: ([self.ending(task) for task in few()],),
            "tell": lambda: ([told(task, self.fence(task), draw([1, 2, 3])) for task in few()],),
            "save_step": lambda: (self.claim(self.some()), draw("xy"), draw([b"1", b"2"])),
            "save_steps": lambda: ([Step(self.claim(task), draw("xy"), b"3") for task in few()],),
            "file_runs": lambda: ([self.ending(task) for task in few()],),
            "file_events": lambda: ([told(task, self.fence(task), draw([1, 2, 3])) for task in few()],),
        }

    def moves(self) -> dict[str, Arguments]:
        return {
            "insert": lambda: ([self.fresh(), *self.few()],),
            "insert_aside": lambda: ([self.fresh()],),
            "withdraw": lambda: ([(self.some().id, self.random.choice([None, self.some().id]))],),
            "cancel": lambda: (TENANT, self.some().id, self.fence()),
            "reopen": self._reopened,
            "reopen dead": self._reopened,
            "expire": lambda: (self.fence(), self.ids()),
            "promote": lambda: (self.ids(),),
            "next_epoch": lambda: (),
        }

    def questions(self) -> dict[str, Arguments]:
        some = self.some
        return {
            "steps": lambda: (some().id,),
            "expiring": lambda: (10,),
            "read": lambda: (TENANT, some().id),
            "live_ids": lambda: (some().id, 2),
            "fresh_ids": lambda: sorted([some().id, some().id]),
            "entries_of": lambda: (self.ids(),),
            "ended_of": lambda: (self.ids(),),
            "known": lambda: (self.ids(),),
            "on_record": lambda: ([self.claim(task) for task in self.few()],),
            "repeated": lambda: ([self.claim(some()), self.ending(some()), told(some(), self.fence(), 1)],),
            "last_epoch": lambda: (),
        }

    def _reopened(self) -> Sequence[Any]:
        ids = self.ids()
        return TENANT, ids, self.fence(), [self.random.choice([None, FAR_OFF]) for _ in ids]

    def _call(self, name: str, *arguments: Any) -> Callable[[PostgresLedger], Awaitable[Any]]:
        name, _, how = name.partition(" ")
        named = {"late": {"late": True}, "dead": {"only_dead": True}}.get(how, {})

        async def call(ledger: PostgresLedger) -> Any:
            answer = await getattr(ledger, name)(*arguments, **named)
            return sorted(answer) if isinstance(answer, set) or name == "expiring" else in_order(answer)

        return call


def in_order(answer: Any) -> Any:
    """Moves return rows in no promised order."""
    if isinstance(answer, list) and answer and isinstance(answer[0], Task):
        return sorted(answer, key=lambda task: task.id)
    return answer


@pytest.mark.parametrize("seed", range(6))
async def test_the_memory_ledger_answers_as_postgres_does(pool: asyncpg.Pool, seed: int) -> None:
    walk = Walk(pool, seed)
    for _ in range(STATEMENTS):
        await walk.act()
        await walk.compare()
