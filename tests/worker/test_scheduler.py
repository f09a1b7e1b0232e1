"""The scheduler: what it does when it is stopped."""

import asyncio

from redis.asyncio import Redis

from orchestrator.domain.ids import WorkerId
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue.keys import Keys
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from orchestrator.worker.chores.chore import Chore
from orchestrator.worker.scheduler import Scheduler
from tests.worker.conftest import House


def leading_chore(led: asyncio.Event) -> Chore:
    async def tick() -> bool:
        led.set()
        return False

    return Chore("tell", 1.0, tick)


async def test_a_leader_that_is_stopped_lets_another_lead_at_once(
    house: House, redis_clients: tuple[Redis, Redis]
) -> None:
    led = asyncio.Event()
    scheduler = Scheduler(house.runtime, WorkerId("scheduler-1"), [leading_chore(led)])
    running = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(10):
        await led.wait()
        scheduler.stop()
        await running
    assert await redis_clients[0].get(Keys().leader) is None


async def test_a_leader_can_be_stopped_while_redis_is_away(database_url: str, own_valkey: Valkey) -> None:
    settings = Settings(_env_file=None, database_url=database_url, redis_url=own_valkey.url)
    led = asyncio.Event()
    async with open_runtime(settings, "scheduler") as runtime:
        scheduler = Scheduler(runtime, WorkerId("scheduler-1"), [leading_chore(led)])
        running = asyncio.create_task(scheduler.run())
        async with asyncio.timeout(10):
            await led.wait()
            own_valkey.stop()
            scheduler.stop()
            await running
