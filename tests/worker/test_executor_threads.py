"""The threads of plain handlers: reused, never waited for, bounded when they are left behind."""

import asyncio
import threading

import pytest

from orchestrator.worker import threads
from orchestrator.worker.threads import Threads, TooManyLeftBehind


async def test_a_thread_is_used_again():
    pool = Threads()
    first = await pool.run(threading.get_ident)
    assert await pool.run(threading.get_ident) == first
    pool.close()


async def test_calls_at_the_same_time_have_a_thread_each():
    pool, both = Threads(), threading.Barrier(2, timeout=5)
    await asyncio.gather(pool.run(both.wait), pool.run(both.wait))
    pool.close()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2), StopIteration("no")])
async def test_what_a_call_raises_reaches_its_caller(error: BaseException):
    def fail() -> None:
        raise error

    pool = Threads()
    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        await pool.run(fail)
    assert await pool.run(lambda: 1) == 1
    pool.close()


async def test_threads_left_behind_are_bounded_and_welcome_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "MOST_LEFT_BEHIND", 1)
    pool, release = Threads(), threading.Event()
    stuck = asyncio.create_task(pool.run(release.wait))
    await asyncio.sleep(0)
    assert await pool.run(lambda: "others run on") == "others run on"
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    with pytest.raises(TooManyLeftBehind):
        await pool.run(lambda: None)
    release.set()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await pool.run(lambda: "again") == "again"
                break
            except TooManyLeftBehind:
                await asyncio.sleep(0.001)
    pool.close()


async def test_threads_do_not_keep_a_process_from_leaving():
    pool = Threads()
    names = await pool.run(lambda: (threading.current_thread().daemon, threading.current_thread().name))
    assert names == (True, "aurea-handler")
    pool.close()
