"""Handlers that call, sleep and take turns."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

from orchestrator.sdk import Call, ChildFailed, Context, SyncContext, Terminal, task

RUNS: Counter[str] = Counter()
HELD: list[tuple[str, str]] = []
ENTERED: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


@task("double")
async def double(payload: int) -> int:
    """Twice the number."""
    RUNS["double"] += 1
    return 2 * payload


@task("broken", max_retries=0)
async def broken(payload: dict[str, Any]) -> None:
    """Fail for good."""
    raise Terminal("it never works")


@task("family")
async def family(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Call one child, two side by side, and ten at once."""
    RUNS["family"] += 1
    first = await ctx.call("double", 1)
    await ctx.step("between", RUNS.update, ["between"])
    two = await asyncio.gather(ctx.call("double", 2), ctx.call("double", 3, name="third"))
    ten = await ctx.call_all([Call("double", n) for n in range(10)])
    return {"first": first, "two": two, "ten": ten}


@task("thread_family")
def thread_family(payload: dict[str, Any], ctx: SyncContext) -> int:
    """The same from a thread."""
    RUNS["thread_family"] += 1
    try:
        return ctx.call("double", 4) + ctx.call("double", 5)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 - a handler that catches too much must not catch its own parking
        return -1


@task("process_family", isolation="process")
async def process_family(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """The same from a process of its own, under a lock."""
    async with ctx.lock("process") as fence:
        return {"doubled": await ctx.call("double", 6), "locked": fence > 0}


@task("mixed")
async def mixed(payload: dict[str, Any], ctx: Context) -> list[str]:
    """Call what works, what fails, what does not fit and what nobody knows."""
    calls = [Call("double", 1), Call("broken", {}), Call("double", "two"), Call("unheard_of", {})]
    return [type(answer).__name__ for answer in await ctx.call_all(calls, return_exceptions=True)]


@task("brief")
async def brief(payload: dict[str, Any], ctx: Context) -> list[str]:
    """Sleep a moment beside a child that takes longer."""
    seen: list[str] = []

    async def nap() -> None:
        await ctx.sleep(0.3, name="nap")
        await ctx.step("napped", seen.append, "napped")

    await asyncio.gather(nap(), ctx.call("nested", 0, timeout_seconds=3, max_retries=0), return_exceptions=True)
    return seen


@task("hopeful")
async def hopeful(payload: dict[str, Any], ctx: Context) -> str:
    """Live with a child that fails, or not."""
    if payload.get("double"):
        await ctx.call("double", 21)
    try:
        await ctx.call("broken", {})
    except ChildFailed as failed:
        if payload.get("hopeful"):
            return f"{failed.status} {(failed.error or {})['message']}"
        raise
    return "never"


@task("nested", max_retries=0)
async def nested(payload: int, ctx: Context) -> int:
    """Call oneself so many times, and wait at the bottom until somebody stops it all."""
    if payload:
        return await ctx.call("nested", payload - 1)  # type: ignore[no-any-return]
    await ctx.log("here")
    await asyncio.sleep(600)
    return 0


@task("sleeper")
async def sleeper(payload: float, ctx: Context) -> int:
    """Sleep for so long."""
    await ctx.progress(0.2)
    RUNS[ctx.task_id] += 1
    await ctx.sleep(payload)
    return RUNS[ctx.task_id]


@task("turns")
async def turns(payload: dict[str, Any], ctx: Context) -> int:
    """Hold a lock over a sleep."""
    async with ctx.lock("turns") as fence:
        await ctx.step("in", HELD.append, ("in", ctx.task_id))
        await ctx.sleep(payload["seconds"], name="inside")
        await ctx.step("out", HELD.append, ("out", ctx.task_id))
    return fence


@task("ten_steps")
async def ten_steps(payload: dict[str, Any], ctx: Context) -> list[int]:
    """Ten steps, each counted; the task fails behind the one that the payload names."""
    done = []
    for n in range(10):
        done.append(await ctx.step(f"step {n}", _count, f"{ctx.task_id} {n}"))
        if n == payload.get("fail_behind") and RUNS[f"{ctx.task_id} failed"] == 0:
            RUNS[f"{ctx.task_id} failed"] += 1
            raise Terminal("not today")
    return done


def _count(name: str) -> int:
    RUNS[name] += 1
    return RUNS[name]


@task("wait_in_step", max_retries=0)
async def wait_in_step(payload: str, ctx: Context) -> None:
    """Wait where one cannot."""

    async def locked() -> None:
        async with ctx.lock("inside"):
            pass

    waits = {"call": lambda: ctx.call("double", 1), "sleep": lambda: ctx.sleep(5), "lock": locked}
    await ctx.step("outer", waits[payload])


@task("wait_in_thread_step", max_retries=0)
def wait_in_thread_step(payload: dict[str, Any], ctx: SyncContext) -> None:
    """The same in a thread."""
    ctx.step("outer", lambda: ctx.call("double", 1))


@task("same_name", max_retries=0)
async def same_name(payload: str, ctx: Context) -> None:
    """Use one name for two things."""
    await ctx.step("check", lambda: 1)
    if payload == "step":
        await ctx.step("check", lambda: 2)
    await ctx.call("double", 1, name="check")
