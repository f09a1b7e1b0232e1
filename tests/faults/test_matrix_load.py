"""The fault matrix, load: herds that come at once, and a long backlog through a restart of everything."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.matrix import ROOM_SECONDS, Rig, nap, open_rig
from tests.faults.system import TOKEN, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("storms")]

RETRY_WINDOW_SECONDS = 4.0
"""What `flunk` waits at most."""
BACKLOG = 50_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("load")) as opened:
        yield opened


async def test_retries_of_one_moment_are_spread_over_their_window(rig: Rig) -> None:
    """Row 39: two thousand tasks fail together; their retries come one by one, and nothing waits for them."""
    number = 2_000
    ids = await rig.submit([{"type": "flunk", "queue": "row39"} for _ in range(number)])
    worker = await rig.worker("row39", MAX_CONCURRENCY="500")
    await rig.ended(ids, 30)
    await rig.sound(ids)
    rows = await rig.rows(
        "select extract(epoch from t.run_at - r.finished_at)::float8 from orchestrator_runs r "
        "join orchestrator_tasks t on t.id = r.task_id where t.queue = 'row39' and r.status = 'failed'"
    )
    waits = [row[0] for row in rows]
    assert len(waits) == number
    tenths = [0] * 10
    for wait in waits:
        tenths[min(9, int(wait / RETRY_WINDOW_SECONDS * 10))] += 1
    # Less in the first and more in the last: the wait begins when the failure is recorded, a little behind its moment.
    assert min(tenths[1:-1]) > 0.05 * number
    assert max(tenths[1:-1]) < 0.2 * number
    assert max(waits) - min(waits) > 0.8 * RETRY_WINDOW_SECONDS
    await rig.end(worker)


class Listener:
    """One reader of a stream, which comes back when it is cut off, with the last id that it has."""

    def __init__(self, port: int, task_id: str) -> None:
        self._port = port
        self._task_id = task_id
        self.ids: list[int] = []
        self.has_ended = False

    async def listen(self) -> None:
        while not self.has_ended:
            try:
                await self._read()
            except OSError:
                await asyncio.sleep(0.1)

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        last = f"Last-Event-ID: {self.ids[-1]}\r\n" if self.ids else ""
        head = f"GET /stream/{self._task_id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n{last}\r\n"
        try:
            writer.write(head.encode())
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self.ids.append(int(line[4:]))
                self.has_ended |= line.startswith(b"event: end")
                if self.has_ended and not line.strip():
                    return
        finally:
            writer.transport.abort()


async def test_three_hundred_listeners_that_come_back_at_once_are_all_served(rig: Rig) -> None:
    """Row 39: the API is killed under 300 streams; all resume without a gap or a repeat while POST goes on."""
    [task_id] = await rig.submit([nap("row39s")])
    listeners = [Listener(rig.system.port("api"), task_id) for _ in range(300)]
    listening = [asyncio.create_task(listener.listen()) for listener in listeners]

    async def all_heard() -> bool:
        return all(listener.ids for listener in listeners)

    await until(all_heard, 30)
    rig.system.kill("api")
    rig.system.start("api")
    await rig.system.ready()
    more = [(await rig.client.post("/tasks", json=nap("row39s"))).json()["id"] for _ in range(10)]
    worker = await rig.worker("row39s")
    async with asyncio.timeout(30):
        await asyncio.gather(*listening)
    assert {tuple(listener.ids) for listener in listeners} == {tuple(sorted(set(listeners[0].ids)))}
    await rig.ended([task_id, *more], ROOM_SECONDS)
    await rig.sound([task_id, *more])
    await rig.end(worker)


async def test_a_long_backlog_outlives_a_restart_of_everything_in_its_order(rig: Rig) -> None:
    """Row 40: 50,000 queued, everything is killed and started: the first task within 5 s, then the others in order."""
    chance = random.Random(40)
    priorities = [chance.choice((0, 2, 5, 9)) for _ in range(BACKLOG)]
    ids = await rig.submit([nap("row40", priority=priority) for priority in priorities])
    for name in ("api", "scheduler"):
        rig.system.kill(name)
    rig.hang_up()
    await rig.stores.kill("redis")
    await rig.stores.stop("postgres")
    for store in ("postgres", "redis"):
        await rig.stores.start(store)
    rig.system.start("api")
    rig.system.start("scheduler")
    worker = await rig.worker("row40", serving=False)

    async def some_ran() -> bool:
        return bool(rig.noted(ids))

    await until(some_ran, 5.0 + ROOM_SECONDS)

    async def many_ran() -> bool:
        return len(rig.noted(ids)) >= 500

    await until(many_ran, 10)
    await rig.system.leave(worker)
    order = [task_id for task_id, *_ in rig.noted(ids)]
    expected = [task_id for _, _, task_id in sorted(zip(priorities, range(BACKLOG), ids, strict=True))]
    assert order == expected[: len(order)]
    await rig.ended(order, ROOM_SECONDS)
    await rig.sound(order)
    [(left,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = 'row40' and status = 'queued'")
    async with rig.stores.redis() as redis:
        waiting = await redis.zcard("aurea:pending:row40")
        used_bytes = (await redis.info("memory"))["used_memory"]
    assert left == waiting == BACKLOG - len(order)
    assert used_bytes < BACKLOG * 1074, "1 GiB for a million"
