"""Handlers for the fault tests: each execution leaves a line outside the system."""

import asyncio
import os
import signal
import time

from pydantic import BaseModel

from orchestrator.sdk import Context, SyncContext, Terminal, task

EFFECTS = os.environ["EFFECTS"]


def note(ctx: Context | SyncContext, word: str) -> None:
    """One write to a file opened for appending is not torn, whoever else writes."""
    line = f"{ctx.task_id} {ctx.attempt} {ctx.fence} {word}\n"
    descriptor = os.open(EFFECTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


class Nap(BaseModel):
    seconds: float = 0.0


@task("nap")
async def nap(payload: Nap, ctx: Context) -> dict[str, int]:
    """Sleep and note the start and the end."""
    note(ctx, "start")
    await asyncio.sleep(payload.seconds)
    note(ctx, "end")
    return {"attempt": ctx.attempt}


@task("block")
async def block(payload: Nap, ctx: Context) -> dict[str, int]:
    """Block the event loop."""
    note(ctx, "start")
    time.sleep(payload.seconds)  # noqa: ASYNC251 - that is the fault
    note(ctx, "end")
    return {"attempt": ctx.attempt}


@task("suicide")
async def suicide(payload: Nap, ctx: Context) -> None:
    """Kill the worker that runs it."""
    note(ctx, "start")
    os.kill(os.getpid(), signal.SIGKILL)


@task("refuse", max_retries=2, retry_base_seconds=0.01)
async def refuse(payload: Nap, ctx: Context) -> None:
    """Fail for good."""
    note(ctx, "start")
    raise Terminal("never")


@task("stumble", retry_base_seconds=0.01)
async def stumble(payload: Nap, ctx: Context) -> str:
    """Fail on the first attempt only."""
    note(ctx, "start")
    if ctx.attempt == 1:
        raise ConnectionError("the line broke")
    return "up again"


@task("thread")
def thread(payload: Nap, ctx: SyncContext) -> str:
    """Run in a thread."""
    note(ctx, "start")
    time.sleep(payload.seconds)
    return "done"


class Routed(BaseModel):
    event: str
    delivery: str


@task("routed")
async def routed(payload: Routed, ctx: Context) -> dict[str, str]:
    """Answer what it was told of a webhook delivery."""
    note(ctx, "start")
    return {"event": payload.event, "delivery": payload.delivery}
