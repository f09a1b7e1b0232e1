"""Handlers of the fault matrix that watch the clock, call a sink outside, or fail together."""

import asyncio
import os
import time

from pydantic import BaseModel

from orchestrator.sdk import Context, task

EFFECTS = os.environ["EFFECTS"]


def note(ctx: Context, word: str) -> None:
    """One line: task, attempt, fence, word, and the moment by the clock that all processes of a machine share."""
    line = f"{ctx.task_id} {ctx.attempt} {ctx.fence} {word} {time.monotonic():.3f}\n"
    descriptor = os.open(EFFECTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


class Nap(BaseModel):
    seconds: float = 0.0


@task("watched")
async def watched(payload: Nap, ctx: Context) -> dict[str, int]:
    """Note start, end and cancellation; later attempts take no time."""
    note(ctx, "start")
    try:
        await asyncio.sleep(payload.seconds if ctx.attempt == 1 else 0)
    except asyncio.CancelledError:
        note(ctx, "cancelled")
        raise
    note(ctx, "end")
    return {"attempt": ctx.attempt}


class Charge(BaseModel):
    url: str


@task("charge")
async def charge(payload: Charge, ctx: Context) -> dict[str, int]:
    """Have an effect outside, under the key and the fence that make it one."""
    note(ctx, "start")
    headers = {"Idempotency-Key": ctx.effect_key("charge"), "Fence": str(ctx.fence)}
    answer = await ctx.http.post(payload.url, headers=headers, timeout=60)
    return {"status": answer.status_code}


@task("flunk", retry_base_seconds=4.0)
async def flunk(payload: Nap, ctx: Context) -> int:
    """Fail at the first attempt, as all others do."""
    if ctx.attempt == 1:
        raise ConnectionError("the service is away")
    note(ctx, "start")
    return ctx.attempt
