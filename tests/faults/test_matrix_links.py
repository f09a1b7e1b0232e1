"""The fault matrix, slow links and wrong clocks: slower, not wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from orchestrator.chaos.stores import STORES
from tests.faults.matrix import ROOM_SECONDS, TAKEN_OVER_SECONDS, Rig, nap, open_rig, watched
from tests.faults.system import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-links")]

DELAY_SECONDS = 0.2
_SKEW = """
import time
from datetime import UTC, datetime

import orchestrator.clock

began, real = time.time(), time.time
shift = {shift}
time.time = lambda: began if shift is None else real() + shift
time.time_ns = lambda: int(time.time() * 1e9)


class Skewed(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.fromtimestamp(time.time(), zone)


orchestrator.clock.datetime = Skewed
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("links")) as opened:
        yield opened


async def test_slow_links_that_are_cut_now_and_then_only_cost_time(rig: Rig) -> None:
    """Row 34: 200 ms an exchange and a cut per hundred, for API and worker: I1, I2, each POST within its bound."""
    chance = random.Random(34)
    worker = await rig.worker("row34", MAX_CONCURRENCY="20", TASK_LEASE_SECONDS="3")
    links = [rig.link(name, store) for name in ("api", worker) for store in STORES]
    for link in links:
        link.slow(DELAY_SECONDS / 2)
    kept: list[str] = []

    async def client(number: int) -> None:
        for turn in range(4):
            task = nap("row34", 0.01, idempotency_key=f"row-34-{number}-{turn}")
            while not (answer := await rig.post(task)).is_success:
                assert answer.status_code == 503
            kept.append(answer.json()["id"])
            if chance.random() < 0.1:  # ten exchanges a turn: one in a hundred
                chance.choice(links).abort()

    async with asyncio.timeout(90):
        await asyncio.gather(*(client(number) for number in range(10)))
    assert len(set(kept)) == len(kept) == 40
    await rig.ended(kept, TAKEN_OVER_SECONDS + 3)
    [(count,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = 'row34'")
    assert count == len(kept)
    for link in links:
        link.heal()
    await rig.sound(kept)
    await rig.end(worker)


def skewed(folder: Path, shift: float | None) -> str:
    """A folder for PYTHONPATH whose Python lives that many seconds ahead, or in which time stands still."""
    place = folder / f"shift{shift}"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_SKEW.format(shift=shift))
    return str(place)


async def test_workers_whose_clocks_are_wrong_move_no_lease_and_no_schedule(rig: Rig, tmp_path: Path) -> None:
    """Row 35: an hour ahead, an hour behind, standing still: what is due is decided by the stores' clocks alone."""
    workers = [
        await rig.worker("row35", serving=False, PYTHONPATH=skewed(tmp_path, shift))
        for shift in (3600.0, -3600.0, None)
    ]
    for worker in workers:
        await rig.said(worker, "worker_started")
    now = datetime.now(UTC)

    async def all_wrong() -> bool:
        told = (await rig.client.get("/workers")).json()["items"]
        hours = {round((datetime.fromisoformat(each["started_at"]) - now) / timedelta(hours=1)) for each in told}
        return hours == {-1, 0, 1}

    await until(all_wrong, 15)
    soon = (now + timedelta(minutes=30)).isoformat()
    asked_at = asyncio.get_running_loop().time()
    delayed = await rig.submit([watched("row35", delay_seconds=1.5) for _ in range(6)])
    ids = await rig.submit(
        [
            *(nap("row35", 0.02, expires_at=soon) for _ in range(30)),
            *(watched("row35", 3.0) for _ in range(6)),  # longer than a lease
            *({"type": "stumble", "queue": "row35"} for _ in range(6)),
        ]
    )
    await rig.ended([*ids, *delayed], 3.0 + TAKEN_OVER_SECONDS)
    await rig.sound([*ids, *delayed], again=6)
    assert len(rig.noted(delayed)) == len(delayed)
    starts = [float(line[4]) - asked_at for line in rig.noted(delayed)]
    assert min(starts) >= 1.4
    assert max(starts) < 1.5 + 1.0 + ROOM_SECONDS
    counted = await rig.rows(
        "select r.status::text, count(*) from orchestrator_runs r join orchestrator_tasks t on t.id = r.task_id "
        "where t.queue = 'row35' group by 1 order by 1"
    )
    assert [tuple(row) for row in counted] == [("failed", 6), ("succeeded", 48)]
    await rig.end(*workers)
