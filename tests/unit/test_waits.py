"""When an attempt is parked: as soon as it does nothing but wait, and not before, however slow the loop is."""

import asyncio
import contextlib
import time

from orchestrator.domain.steps import Wait
from orchestrator.worker.waits import Waits


async def parked_after(waits: Waits, work: "asyncio._CoroutineLike[None]") -> list[str]:
    """Run a life that waits for one child and works beside; return the children that it was parked for."""
    life = asyncio.current_task()
    waits.begin(life)
    waiting = asyncio.ensure_future(waits.on(Wait(("first",))))
    beside = asyncio.ensure_future(work)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(waiting, beside)
    if life is not None:
        life.uncancel()
    waits.close()
    return list(waits.parked.children) if waits.parked else []


async def test_a_handler_that_goes_on_from_call_to_call_is_not_at_rest() -> None:
    waits = Waits(gather_seconds=0.005)

    async def work() -> None:
        for _ in range(10):  # calls that ended in an earlier attempt answer at once
            with waits.acting():
                pass
            await asyncio.sleep(0.002)
        await waits.on(Wait(("second",)))

    assert await parked_after(waits, work()) == ["first", "second"]


async def test_a_slow_turn_of_the_loop_takes_nobody_s_turn() -> None:
    waits = Waits(gather_seconds=0.005)

    async def work() -> None:
        await asyncio.sleep(0)
        time.sleep(0.02)  # noqa: ASYNC251 - the loop stands still, as under load
        for _ in range(5):
            await asyncio.sleep(0)
        await waits.on(Wait(("second",)))

    assert await parked_after(waits, work()) == ["first", "second"]


async def test_a_handler_at_rest_is_parked_soon() -> None:
    waits = Waits(gather_seconds=0.0)
    assert await asyncio.wait_for(parked_after(waits, asyncio.sleep(60)), timeout=1) == ["first"]
