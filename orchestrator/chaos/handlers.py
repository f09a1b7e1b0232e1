"""What a campaign's tasks do: leave one line outside the system per execution, last a while, sometimes fail.

The sink is the file AUREA_CHAOS_SINK; one write to a file opened for appending is not torn, whoever else writes.
"""

import asyncio
import os
import signal
import time

from pydantic import BaseModel

from orchestrator.clock import SystemClock
from orchestrator.sdk import Context, task

SINK = "AUREA_CHAOS_SINK"
_CLOCK = SystemClock()


class Work(BaseModel):
    """One task of a campaign."""

    hold_ms: float = 0
    stumbles: int = 0
    """How many attempts fail."""
    steps: int = 0


@task("chaos", max_retries=50, retry_base_seconds=0.05, retry_cap_seconds=1.0, timeout_seconds=60)
async def chaos(payload: Work, ctx: Context) -> dict[str, int]:
    """Note the execution, take the steps, last as long as it was told, and fail as often as it was told."""
    note(ctx)
    for number in range(payload.steps):
        await ctx.step(f"step-{number}", _step, number)
        await ctx.log(f"step {number} is done")
    await asyncio.sleep(payload.hold_ms / 1000)
    if ctx.attempt <= payload.stumbles:
        raise ConnectionError("a stumble that was asked for")
    return {"attempt": ctx.attempt}


@task("chaos_block", max_retries=50, retry_base_seconds=0.05, retry_cap_seconds=1.0, timeout_seconds=60)
async def chaos_block(payload: Work, ctx: Context) -> dict[str, int]:
    """Block the event loop of the worker all the while."""
    note(ctx)
    time.sleep(payload.hold_ms / 1000)  # noqa: ASYNC251 - that is the fault
    return {"attempt": ctx.attempt}


@task("chaos_poison")
async def chaos_poison(payload: Work, ctx: Context) -> None:
    """Kill the process that runs it."""
    note(ctx)
    await asyncio.sleep(payload.hold_ms / 1000)
    os.kill(os.getpid(), signal.SIGKILL)


def note(ctx: Context) -> None:
    """Leave the line: task id, attempt, fence, moment."""
    line = f"{ctx.task_id} {ctx.attempt} {ctx.fence} {_CLOCK.now().timestamp():.6f}\n"
    sink = os.open(ctx.config.require(SINK), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(sink, line.encode())
    finally:
        os.close(sink)


async def _step(number: int) -> int:
    return number
