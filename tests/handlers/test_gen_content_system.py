"""gen_content on the whole system: a real worker, the provider's own SDK, a fake provider, real stores."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import redis

from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import DEFAULT_TENANT, WorkerId
from orchestrator.domain.outcome import Parked, decide
from orchestrator.domain.profile import Profile
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.states import State
from orchestrator.domain.steps import Wait
from orchestrator.operations import artifact
from orchestrator.operations.budget import set_limit
from orchestrator.operations.park import park
from orchestrator.operations.profile import set_profile
from orchestrator.operations.submit import Intake
from orchestrator.operations.why import why
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.replies import Says
from tests.faults.system import until
from tests.worker.conftest import House

TEXT = "# Otters\n\nThey hold hands while they sleep."


@pytest.fixture
def anthropic() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
async def house(database_url: str, redis_url: str, tmp_path: Path, anthropic: FakeAnthropic) -> AsyncIterator[House]:
    settings = Settings(
        _env_file=None,
        aurea_home=tmp_path,
        database_url=database_url,
        redis_url=redis_url,
        anthropic_api_key=anthropic.key,
        anthropic_base_url=anthropic.url,
    )
    async with open_runtime(settings, "worker") as runtime:
        intake = Intake(runtime)
        intake.start()
        yield House(runtime, intake, redis_url)
        await intake.stop()


async def test_a_document_is_streamed_paid_for_and_stored(house: House, anthropic: FakeAnthropic) -> None:
    anthropic.will(Says(f"```markdown\n{TEXT}\n```", input_tokens=1000, output_tokens=100))
    task = await house.submit("gen_content", {"template": "article", "variables": {"topic": "otters"}})
    async with house.worker():
        story = await house.story(task)
    ended = await house.ended(task)
    assert ended.status is State.SUCCEEDED, ended.error
    assert "".join(event.data["text"] for event in story if event.kind is EventKind.TOKEN).count(TEXT) == 1
    assert ended.result["text"] == TEXT
    assert ended.result["usage"]["output_tokens"] == 100
    assert ended.result["cost_usd"] > 0
    assert ended.cost_usd == pytest.approx(ended.result["cost_usd"])
    [kept] = await house.runtime.ledger.artifacts(DEFAULT_TENANT, task.id, None, 10)
    assert (kept.file.id, kept.name) == (ended.result["artifact"]["id"], "article.md")
    reading = await artifact.read(house.runtime, kept)
    assert b"".join([piece async for piece in reading.chunks]).decode() == TEXT
    [asked] = anthropic.asked
    assert "Topic: otters" in str(asked.json["messages"])
    assert "experienced writer" in str(asked.json["system"])


async def by_budget(runtime: Runtime, usd: float) -> None:
    await set_limit(runtime, DEFAULT_TENANT, usd)


async def by_system_budget(runtime: Runtime, usd: float) -> None:
    await set_limit(runtime, None, usd)


async def by_profile(runtime: Runtime, usd: float) -> None:
    await set_profile(runtime, Profile(DEFAULT_TENANT), usd)


async def by_type(runtime: Runtime, usd: float) -> None:
    await set_profile(runtime, Profile(DEFAULT_TENANT), None, {"gen_content": usd})


@pytest.mark.parametrize("limit", [by_budget, by_system_budget, by_profile, by_type])
async def test_who_waits_for_money_goes_on_when_the_limit_is_raised(
    house: House, anthropic: FakeAnthropic, limit: Callable[[Runtime, float], Awaitable[None]]
) -> None:
    await limit(house.runtime, 0)
    anthropic.will(Says(TEXT))
    task = await house.submit("gen_content", {"prompt": "otters", "on_budget": "wait"})
    async with house.worker(), house.scheduler():

        async def waits() -> bool:
            return (await why(house.runtime, DEFAULT_TENANT, task.id)).cause == "waiting_for_money"

        await until(waits, 10)
        assert anthropic.asked == []
        await limit(house.runtime, 0.000001)
        await until(waits, 10)  # it has asked again, or will at once: too little is still too little
        await limit(house.runtime, 5)
        assert (await house.ended(task)).status is State.SUCCEEDED


@pytest.mark.parametrize("limit", [by_budget, by_type])
async def test_a_limit_raised_before_the_task_is_parked_wakes_it(
    house: House, limit: Callable[[Runtime, float], Awaitable[None]]
) -> None:
    await limit(house.runtime, 0)
    task = await house.submit("gen_content", {"prompt": "otters"})
    (claimed,) = await house.runtime.queue.claim(WorkerId("worker-1"), "default", 1, 60_000)
    await house.runtime.ledger.start([claimed])
    await limit(house.runtime, 5)
    midnight = datetime.now(UTC) + timedelta(hours=5)
    ending = decide(claimed, Parked(Wait(wake_at=midnight, money=True)), RetryPolicy(), 0.5)
    assert await park(house.runtime, WorkerId("worker-1"), ending)
    read = await house.runtime.ledger.read(DEFAULT_TENANT, task.id)
    assert read is not None
    assert read.status is State.QUEUED


async def test_a_key_is_in_no_row_whether_it_is_good_or_wrong(
    house: House,
    anthropic: FakeAnthropic,
    pool: asyncpg.Pool,
    redis_admin: redis.Redis,
    capfd: pytest.CaptureFixture[str],
) -> None:
    good = anthropic.key
    anthropic.will(Says(TEXT))
    async with house.worker():
        first = await house.ended(await house.submit("gen_content", {"prompt": "Write."}))
        anthropic.key = "another-key"  # from here on the worker's is wrong, and the provider repeats it
        second = await house.ended(await house.submit("gen_content", {"prompt": "Write."}))
        left_in_redis = _everything_in(redis_admin)
    assert (first.status, second.status) == (State.SUCCEEDED, State.FAILED)
    assert "does not accept the key in ANTHROPIC_API_KEY" in str(second.error)
    rows = await _every_row(pool)
    assert str(first.id) in rows
    assert str(second.id) in left_in_redis
    printed = capfd.readouterr()
    for place in (rows, left_in_redis, printed.out, printed.err, repr((first, second, await house.story(second)))):
        assert good not in place


async def _every_row(pool: asyncpg.Pool) -> str:
    tables = await pool.fetch("select table_name as name from information_schema.tables where table_schema = 'public'")
    rows = [row[0] for table in tables for row in await pool.fetch(f'select t::text from "{table["name"]}" t')]
    return "\n".join(rows)


def _everything_in(store: redis.Redis) -> str:
    reading = {
        b"string": store.get,
        b"hash": store.hgetall,
        b"zset": lambda key: store.zrange(key, 0, -1),
        b"set": store.smembers,
        b"stream": store.xrange,
        b"list": lambda key: store.lrange(key, 0, -1),
    }
    return repr([(key, reading[store.type(key)](key)) for key in store.scan_iter()])
