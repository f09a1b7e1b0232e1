"""Redis fails over: nothing that was accepted is lost or recorded twice, and work goes on within seconds."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId
from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue.connect import connect
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import FENCE_COUNTER_BITS, EpochMissing
from orchestrator.queue.redis import RedisQueue
from orchestrator.queue.subscriptions import Gap, Subscriptions
from tests.conftest import FAST, Servers
from tests.faults.groups import (
    DOWN_AFTER_MS,
    NOWHERE,
    TAG,
    Cluster,
    Group,
    Watched,
    copied,
    is_primary,
    process_of,
    reached,
    tell,
)
from tests.faults.local_system import aurea
from tests.faults.system import System, running_system, until

pytestmark = pytest.mark.xdist_group("storms")  # one at a time: each keeps all processors busy

GOES_ON_SECONDS = DOWN_AFTER_MS / 1000 + 5
STEP_US = 3_600_000_000


@pytest.fixture
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched | Cluster]:
    """The group of the kind that the test asks for, open."""
    opened: Watched | Cluster = request.param(tmp_path)
    try:
        opened.open()
        yield opened
    finally:
        opened.close()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres", tmp_path / "postgres.log", "postgres-password", FAST)
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def system_on(postgres: Postgres, group: Group | Valkey, folder: Path, **settings: str) -> AsyncIterator[System]:
    async with running_system(postgres, group, folder, AUREA_NAMESPACE=TAG, **settings) as system:
        for name in ("api", "scheduler", "worker1", "worker2"):
            system.start(name)
        await system.ready()
        await system.serving(1)
        await system.serving(2)
        yield system


class Load:
    """Clients that hand in one task after the other, and ask again under the same key until it is accepted."""

    def __init__(self, system: System, *, keyed: bool = True) -> None:
        self._system = system
        self._keyed = keyed
        self._stopped = False
        self.accepted: dict[str, str] = {}
        self.refused = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        clients = [asyncio.create_task(self._hand_in(number)) for number in range(6)]
        try:
            yield
        finally:
            self._stopped = True
            await asyncio.gather(*clients)

    async def _hand_in(self, client: int) -> None:
        turn = 0
        async with self._system.client() as http:
            while not self._stopped:
                await self.submit(http, f"{client}-{turn}")
                turn += 1
                await asyncio.sleep(0.03)

    async def submit(self, http: httpx2.AsyncClient, key: str, durability: str | None = None) -> None:
        body = {"type": "nap", "payload": {"seconds": 0.01}, "idempotency_key": key if self._keyed else None}
        async with asyncio.timeout(20):
            while not (answer := await http.post("/tasks", json=body)).is_success:
                assert answer.status_code == 503, answer.text
                self.refused += 1
                await asyncio.sleep(0.1)
        self.accepted[key] = answer.json()["id"]
        assert durability in (None, answer.json().get("durability"))


async def last_epoch(system: System) -> int:
    [row] = await system.rows("select last_value from orchestrator_epoch")
    return int(row[0])


async def goes_on(system: System, began: float, epoch: int) -> float:
    """Return after how many seconds a task was run under a later epoch."""

    async def later() -> bool:
        return any(int(line[2]) >> FENCE_COUNTER_BITS > epoch for line in system.executions())

    await until(later, 30)
    return time.monotonic() - began


async def all_known(system: System, tasks: int) -> bool:
    """Whether the relay told Postgres of so many."""
    [row] = await system.rows("select count(*) from orchestrator_tasks")
    return bool(row[0] == tasks)


async def check(system: System, load: Load) -> None:
    """Every accepted task succeeded once, and there are no others."""
    accepted = sorted(load.accepted.values())
    tasks = await system.rows("select id::text from orchestrator_tasks where status = 'succeeded' order by 1")
    assert [row["id"] for row in tasks] == accepted
    runs = await system.rows("select task_id::text as id from orchestrator_runs where status = 'succeeded' order by 1")
    assert [row["id"] for row in runs] == accepted
    stale = await system.rows(
        "select 1 from orchestrator_runs a join orchestrator_runs b using (task_id)"
        " where a.fence < b.fence and a.started_at > b.started_at"
    )
    assert not stale, "fences went back"
    assert system.fallen() == []


@pytest.mark.parametrize("group", [Watched, Cluster], indirect=True)
async def test_the_primary_dies_under_load_and_work_goes_on(
    group: Watched | Cluster, postgres: Postgres, tmp_path: Path
) -> None:
    """Rows 22, 23: Sentinel or Cluster promotes the replica; nothing accepted is lost, fences only grow."""
    async with system_on(postgres, group, tmp_path) as system:
        load = Load(system)
        async with load.running():
            await asyncio.sleep(1)
            epoch = await last_epoch(system)
            group.primary.kill()
            took = await goes_on(system, time.monotonic(), epoch)
            await until(lambda: asyncio.sleep(0, len(load.accepted) >= 300), 15)
        await system.drained(15)
        await check(system, load)
        assert took < GOES_ON_SECONDS
        assert load.refused == 0


@pytest.mark.parametrize("group", [Watched], indirect=True)
async def test_what_only_redis_has_is_on_a_replica_before_it_is_accepted(
    group: Watched, postgres: Postgres, tmp_path: Path
) -> None:
    """Row 22: Postgres is away and the replica is cut off: refused until it has a copy, then the primary dies."""
    async with system_on(postgres, group, tmp_path, AUREA_REDIS_REPLICAS="1") as system:
        load = Load(system)
        postgres.kill()
        async with system.client() as http:
            for turn in range(20):
                await load.submit(http, f"copied-{turn}", durability="redis")
            tell(group.replica, "REPLICAOF", *NOWHERE.split(":"))
            alone = asyncio.create_task(load.submit(http, "alone"))
            await until(lambda: asyncio.sleep(0, load.refused > 0), 3)
            group.primary.kill()
            reached(lambda: is_primary(group.replica))
            group.primary.start_again()
            tell(group.primary, "REPLICAOF", "127.0.0.1", group.replica.port)  # the sentinel would, some time
            await alone
        postgres.start_again()
        await until(lambda: all_known(system, len(load.accepted)), 15)
        await system.drained(15)
        await check(system, load)
        assert len(load.accepted) == 21


async def test_a_primary_that_is_a_replica_for_a_while(own_servers: Servers, tmp_path: Path) -> None:
    """Row 24: READONLY under load, then writable again: work goes on, and it is told once."""
    server = own_servers.valkey
    async with system_on(own_servers.postgres, server, tmp_path) as system:
        load = Load(system, keyed=False)
        async with load.running():
            await asyncio.sleep(0.5)
            epoch = await last_epoch(system)
            tell(server, "REPLICAOF", *NOWHERE.split(":"))
            await asyncio.sleep(1.5)
            tell(server, "REPLICAOF", "NO", "ONE")
            took = await goes_on(system, time.monotonic(), epoch)
        await system.drained(10)
        await check(system, load)
        assert took < 5
        told = {name: system.log(name).count("store_away") for name in system.processes}
        assert max(told.values()) == 1, told
        assert load.refused == 0


async def test_no_fence_is_given_twice_when_an_old_primary_comes_back(tmp_path: Path) -> None:
    """It lived all the time, and took over what the other one had: less than itself."""
    group = Group(tmp_path)
    try:
        old = group.add()
        new = group.add(replicaof=f"127.0.0.1 {old.port}")
        copied(new)
        async with queue_on(old.url) as queue:
            await queue.open_epoch(1)
            await queue.mint()
            reached(lambda: tell(new, "HGET", Keys(TAG).epoch, "counter") == b"1")
            tell(new, "REPLICAOF", "NO", "ONE")
            await queue.mint()
            tell(old, "REPLICAOF", "127.0.0.1", new.port)
            copied(old)
            tell(old, "REPLICAOF", "NO", "ONE")
            with pytest.raises(EpochMissing):
                await reaching(queue.mint)
    finally:
        group.close()


@pytest.mark.parametrize("group", [Watched], indirect=True)
async def test_nothing_goes_to_an_old_primary_that_wakes_up(group: Watched) -> None:
    async with queue_on(group.url) as queue:
        await asyncio.gather(*(queue.depth("default") for _ in range(20)))
        pid = process_of(group.primary)
        os.kill(pid, signal.SIGSTOP)
        await reaching(queue.ping)
        os.kill(pid, signal.SIGCONT)
        await asyncio.gather(*(queue.pause(f"queue-{number}") for number in range(20)))
        assert tell(group.replica, "SCARD", Keys(TAG).paused) == 20
        assert tell(group.primary, "EXISTS", Keys(TAG).paused) == 0


@pytest.mark.parametrize("group", [Cluster], indirect=True)
async def test_listeners_follow_when_the_primary_steps_down(group: Cluster) -> None:
    """It lives on as a replica and would keep their connections open, and silent."""
    clients = connect(group.url, TAG)
    subscriptions, queue = Subscriptions(clients[0], Keys(TAG)), RedisQueue(*clients, Keys(TAG), STEP_US)
    subscriptions.start()
    try:
        async with subscriptions.watch(TaskId("task-1")) as watch:
            tell(group.replica, "CLUSTER", "FAILOVER")
            reached(lambda: is_primary(group.replica))
            await reaching(queue.ping)
            async with asyncio.timeout(3):
                assert isinstance(await watch.next(), Gap)
            channel = Keys(TAG).channel(watch.task_id)
            assert tell(group.replica, "PUBSUB", "NUMSUB", channel) == [channel.encode(), 1]
    finally:
        await subscriptions.stop()
        for client in clients:
            await client.aclose()


async def test_a_cluster_wants_a_namespace_of_one_slot(own_servers: Servers, tmp_path: Path) -> None:
    url = "redis+cluster://127.0.0.1:1"
    shown = aurea(tmp_path, "worker", DATABASE_URL=own_servers.postgres.url, REDIS_URL=url)
    assert shown.returncode != 0
    assert "AUREA_NAMESPACE" in shown.stdout + shown.stderr
    assert "{aurea}" in shown.stdout + shown.stderr


@asynccontextmanager
async def queue_on(url: str) -> AsyncIterator[RedisQueue]:
    clients = connect(url, TAG)
    try:
        yield RedisQueue(*clients, Keys(TAG), STEP_US)
    finally:
        for client in clients:
            await client.aclose()


async def reaching(act: Callable[[], Awaitable[object]]) -> None:
    """Repeat it until Redis is there."""
    async with asyncio.timeout(10):
        while True:
            with suppress(Unavailable):
                await act()
                return
            await asyncio.sleep(0.05)
