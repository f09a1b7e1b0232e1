"""A store that is away: what can be kept is kept, every answer says the truth, and nothing is done twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.chaos.stores import Stores
from tests.faults.system import System, running_system, until

LONGEST_ANSWER_SECONDS = 3.0
NAP = {"type": "nap", "payload": {"seconds": 0.0}, "idempotency_key": "n-1", "tags": {"team": "docs"}}


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = Stores(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def system(stores: Stores, tmp_path: Path) -> AsyncIterator[System]:
    async with running_system(stores.postgres, stores.valkey, tmp_path) as started:
        for name in ("api", "scheduler", "worker1"):
            started.start(name)
        await started.ready()
        await started.serving(1)
        yield started


async def post(client: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    """Create a task; the answer comes within the bound, whatever is away."""
    began = time.monotonic()
    answer = await client.post("/tasks", json={**NAP, **fields})
    assert time.monotonic() - began < LONGEST_ANSWER_SECONDS
    return answer


async def ended(client: httpx2.AsyncClient, task_id: str, seconds: float = 10) -> dict[str, Any]:
    """Return the task once the API says that it has ended."""
    found: dict[str, Any] = {}

    async def final() -> bool:
        answer = await client.get(f"/tasks/{task_id}")
        found.update(answer.json())
        return answer.status_code == 200 and found["status"] == "succeeded"

    await until(final, seconds)
    return found


async def test_without_postgres_work_is_accepted_run_and_told_of_and_postgres_is_caught_up(
    system: System, stores: Stores
) -> None:
    """Row 26: the same answers for the same key before, while and after; the ending is written once."""
    async with system.client() as client:
        await stores.stop("postgres")
        first = await post(client)
        assert (first.status_code, first.json()["durability"]) == (201, "redis")
        task_id = first.json()["id"]
        told = await ended(client, task_id)
        assert (told["result"], told["tags"], told["idempotency_key"]) == ({"attempt": 1}, {"team": "docs"}, "n-1")
        again, other = await post(client), await post(client, priority=1)
        assert (again.status_code, again.json()["id"]) == (200, task_id)
        assert (other.status_code, "n-1" in other.json()["detail"]) == (422, True)
        metrics = (await client.get("/metrics")).text
        assert "aurea_outbox_depth 0.0" not in metrics
        await stores.start("postgres")

        async def caught_up() -> bool:
            return "aurea_outbox_depth 0.0" in (await client.get("/metrics")).text

        await until(caught_up, 15)
        late = await post(client)
        assert (late.status_code, late.json()["id"]) == (200, task_id)
        read = (await client.get(f"/tasks/{task_id}")).json()
        assert {**told, "started_at": None, "finished_at": None} == {**read, "started_at": None, "finished_at": None}
    runs = await system.rows("select status::text, attempt from orchestrator_runs")
    assert [tuple(run) for run in runs] == [("succeeded", 1)]
    assert len([line for line in system.executions() if line[3] == "end"]) == 1


async def test_a_key_that_postgres_knew_is_answered_without_it(system: System, stores: Stores) -> None:
    async with system.client() as client:
        first = await post(client)
        await ended(client, first.json()["id"])
        await stores.stop("postgres")
        again, other = await post(client), await post(client, priority=1)
        assert (other.status_code, other.headers.get("retry-after")) == (422, None)
        assert again.status_code == 503  # the same task, of which only Postgres knows more than its id
        await stores.start("postgres")


async def test_a_hundred_requests_with_one_key_while_postgres_dies_are_one_task(system: System, stores: Stores) -> None:
    async with system.client() as client:

        async def ask(number: int) -> set[str]:
            seen = set()
            for turn in range(5):
                while not (answer := await post(client, idempotency_key=f"k-{turn}")).is_success:
                    assert answer.status_code == 503  # a key that Postgres took: only it can say for which task
                    await asyncio.sleep(0.05)
                seen.add(f"{turn} {answer.json()['id']}")
            return seen

        asking = [asyncio.create_task(ask(number)) for number in range(100)]
        await asyncio.wait(asking, timeout=0.15)
        await stores.stop("postgres")
        await asyncio.wait(asking, timeout=1.0)
        await stores.start("postgres")
        async with asyncio.timeout(30):
            seen = set().union(*await asyncio.gather(*asking))
        assert len(seen) == len({pair.split()[0] for pair in seen})

        async def all_there() -> bool:
            keys = await system.rows(
                "select distinct idempotency_key from orchestrator_tasks where status = 'succeeded'"
            )
            return len(keys) == 5 and await system.unfinished() == 0

        await until(all_there, 20)
    rows = await system.rows("select idempotency_key as key, count(*) from orchestrator_tasks group by 1")
    assert {row["key"]: row["count"] for row in rows} == {f"k-{turn}": 1 for turn in range(5)}


async def test_a_frozen_store_holds_up_no_answer(system: System, stores: Stores) -> None:
    async with system.client() as client:
        await stores.pause("postgres")
        for turn in range(3):
            answer = await post(client, idempotency_key=f"p-{turn}")
            assert (answer.status_code, answer.json()["durability"]) == (201, "redis")
        await stores.resume("postgres")
        await stores.pause("redis")
        for turn in range(3):
            assert (await post(client, idempotency_key=f"r-{turn}")).status_code == 201
        await stores.resume("redis")
        await system.drained(20)


async def test_without_redis_work_is_accepted_and_taken_up_within_five_seconds_of_its_return(
    system: System, stores: Stores
) -> None:
    """Row 18: accepted into Postgres meanwhile, with nothing to say about it."""
    async with system.client() as client:
        await stores.stop("redis")
        answers = [await post(client, idempotency_key=f"k-{turn}") for turn in range(20)]
        assert {(answer.status_code, answer.json().get("durability")) for answer in answers} == {(201, None)}
        await stores.start("redis")
        await system.drained(5 + 1)


async def test_without_both_nothing_is_promised(system: System, stores: Stores) -> None:
    """Row 27: 503 and `Retry-After`, and alive; asked again when both are back it is one task, run once."""
    async with system.client() as client:
        await stores.stop("redis")
        await stores.stop("postgres")
        answer = await post(client)
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert "postgres and redis" in answer.json()["detail"]
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        await stores.start("postgres")
        await stores.start("redis")

        async def accepted() -> bool:
            return (await post(client)).is_success

        await until(accepted, 10)

    async def ended_once() -> bool:
        rows = await system.rows("select status::text from orchestrator_tasks")
        return [row["status"] for row in rows] == ["succeeded"]

    await until(ended_once, 15)
