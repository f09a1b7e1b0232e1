"""Handlers whose lives the tests watch."""

import asyncio
import time
from collections import Counter, defaultdict
from typing import Any

from pydantic import BaseModel

from orchestrator.sdk import Context, Retry, SyncContext, Terminal, task

STOPPED: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
COUNTED: Counter[str] = Counter()
ENTERED: defaultdict[str, asyncio.Queue[int]] = defaultdict(asyncio.Queue)
FINISH: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
LET_GO: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


class Word(BaseModel):
    word: str = "hello"


@task("echo")
async def echo(payload: Word, ctx: Context) -> dict[str, Any]:
    """Say it back."""
    await ctx.log("echoing", word=payload.word)
    await ctx.progress(0.5, "half")
    await ctx.token("a")
    await ctx.token("b")
    return {"word": payload.word, "attempt": ctx.attempt}


@task("linger", max_retries=0)
async def linger(payload: Word, ctx: Context) -> str:
    """Run until it is stopped."""
    await ctx.log("here")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        STOPPED[ctx.task_id].set()
        raise
    return "never"


@task("clingy", max_retries=0)
async def clingy(payload: Word, ctx: Context) -> str:
    """Run until told to finish; when it is cancelled, unwind until let go."""
    ENTERED[ctx.task_id].put_nowait(ctx.fence)
    if payload.word != "quiet":
        await ctx.log("here")
    try:
        await FINISH[ctx.task_id].wait()
    except asyncio.CancelledError:
        STOPPED[ctx.task_id].set()
        await LET_GO[ctx.task_id].wait()
        raise
    return "done"


@task("flaky", max_retries=3, retry_base_seconds=0.001)
async def flaky(payload: Word, ctx: Context) -> int:
    """Fail twice."""
    if ctx.attempt < 3:
        raise ConnectionError(f"broken line {ctx.attempt}")
    return ctx.attempt


@task("doomed", max_retries=2, retry_base_seconds=0.001)
async def doomed(payload: Word, ctx: Context) -> None:
    """Fail every time."""
    raise ConnectionError("broken for good")


@task("refused")
async def refused(payload: Word, ctx: Context) -> None:
    """Fail for good at once."""
    raise Terminal("not like this")


@task("later", max_retries=1)
async def later(payload: Word, ctx: Context) -> str:
    """Say when to come again."""
    if ctx.attempt == 1:
        raise Retry("come again", after=1)
    return "came again"


@task("slow", max_retries=0, timeout_seconds=0.3)
async def slow(payload: Word, ctx: Context) -> None:
    """Take longer than it may."""
    await asyncio.sleep(60)


@task("plain")
def plain(payload: Word, ctx: SyncContext) -> str:
    """Run in a thread."""
    ctx.log("in a thread")
    time.sleep(0.01)
    return payload.word


@task("odd", max_retries=0)
async def odd(payload: Word, ctx: Context) -> Any:
    """Return what JSON cannot hold."""
    return {1, 2}


@task("alone", isolation="process", max_retries=0, timeout_seconds=20)
def alone(payload: Word, ctx: SyncContext) -> str:
    """Run in a process of its own."""
    ctx.log("alone")
    if payload.word == "wait":
        time.sleep(600)
    return payload.word


@task("parent")
async def parent(payload: Word, ctx: Context) -> str:
    """Hand in another task."""
    return await ctx.submit("echo", {"word": "child"})


@task("stepwise", retry_base_seconds=0.001)
async def stepwise(payload: Word, ctx: Context) -> list[int]:
    """Do one step once, whatever happens after it."""

    async def count() -> int:
        COUNTED[ctx.task_id] += 1
        return 7

    answer = await ctx.step("count", count)
    if ctx.attempt == 1:
        raise ConnectionError("after the step")
    return [answer, COUNTED[ctx.task_id]]


@task("count")
async def count(payload: dict[str, Any], ctx: Context) -> None:
    """Count how often each task is run."""
    COUNTED[ctx.task_id] += 1
