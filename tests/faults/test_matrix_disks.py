"""The fault matrix, full disks: a store that can write nothing is away, and is back when there is room."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from orchestrator.chaos.stores import Stores
from orchestrator.domain.errors import NotStarted
from tests.faults.disks import SmallDisk
from tests.faults.matrix import ROOM_SECONDS, TAKEN_OVER_SECONDS, Rig, nap, open_rig
from tests.faults.system import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-disks")]

SETTLED_SECONDS = 3.0 + 1.0
"""What the reconciler leaves a submit to finish, and its pace."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def disks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, SmallDisk]]:
    folder = tmp_path_factory.mktemp("servers")
    made = {"postgres": SmallDisk(folder, 160), "redis": SmallDisk(folder / "valkey", 8)}
    yield made
    for disk in reversed(made.values()):
        disk.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(disks: dict[str, SmallDisk], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("disks"), disks["postgres"].folder) as opened:
        yield opened


async def pid_of_redis(stores: Stores) -> int:
    async with stores.redis() as redis:
        return int((await redis.info("server"))["process_id"])


def pid_of_postgres(stores: Stores) -> int:
    return int((stores.postgres.folder / "postmaster.pid").read_text().split()[0])


async def crash_for_want_of_room(rig: Rig) -> None:
    """Make Postgres need more log; a server that cannot have it ends all sessions, if it did not before."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        session = await rig.stores.session()
        try:
            for _ in range(3):
                await session.execute("create temporary table more ()", timeout=5)
                await session.execute("drop table more; select pg_switch_wal()", timeout=5)
        finally:
            session.terminate()


async def keep_started(stores: Stores) -> None:
    """What whoever runs Postgres does: its recovery may still give up for want of room when there is room again."""
    while True:
        if stores.postgres.ended:
            with contextlib.suppress(NotStarted):
                await stores.start("postgres")
        await asyncio.sleep(0.1)


async def test_a_redis_with_a_full_disk_is_away_until_there_is_room(rig: Rig, disks: dict[str, SmallDisk]) -> None:
    """Row 21: the log cannot grow, every write is refused: POST goes to Postgres within 3 s; with room all run."""
    worker = await rig.worker("row21")
    disks["redis"].fill(await pid_of_redis(rig.stores))
    ids: list[str] = []
    async with rig.stores.redis() as redis:

        async def refuses() -> bool:
            answer = await rig.post(nap("row21", idempotency_key=f"row-21-{len(ids)}"))
            assert answer.status_code == 201
            ids.append(answer.json()["id"])
            return bool((await redis.info("persistence"))["aof_last_write_status"] == "err")

        await until(refuses, 15)
        await refuses()
        assert (await rig.client.get(f"/tasks/{ids[-1]}")).json()["status"] == "queued"
        disks["redis"].free()
    await rig.ended(ids, 2.0 + SETTLED_SECONDS + ROOM_SECONDS)
    await rig.sound(ids)
    await rig.end(worker)


async def test_a_postgres_with_a_full_disk_is_away_until_there_is_room(rig: Rig, disks: dict[str, SmallDisk]) -> None:
    """Row 31: rows find no room, then its log has none and it crashes: the outbox stands in; with room all is there."""
    worker = await rig.worker("row31")
    disks["postgres"].fill(pid_of_postgres(rig.stores))
    ids: list[str] = []

    async def stands_in() -> bool:
        answer = await rig.post(nap("row31", idempotency_key=f"row-31-{len(ids)}"))
        assert answer.status_code == 201
        ids.append(answer.json()["id"])
        return bool(answer.json().get("durability") == "redis")

    await until(stands_in, 30)
    await crash_for_want_of_room(rig)
    ids += [(await rig.post(nap("row31"))).json()["id"] for _ in range(3)]
    disks["postgres"].free()
    beside = asyncio.create_task(keep_started(rig.stores))
    await rig.ended(ids, 10.0 + TAKEN_OVER_SECONDS)
    beside.cancel()
    await rig.sound(ids)
    await rig.end(worker)
