"""Handlers that wait in awkward places."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

from orchestrator.sdk import Context, Terminal, task

RAN: Counter[str] = Counter()
LET_GO = asyncio.Event()


@task("edge_echo")
async def edge_echo(payload: str, ctx: Context) -> str:
    """Say it back, a1 late."""
    await asyncio.sleep(0.3 if payload == "a1" else 0.0)
    return payload


@task("edge_broken", max_retries=0)
async def edge_broken(payload: dict[str, Any]) -> None:
    """Fail at once."""
    raise Terminal("broken")


@task("edge_slow", max_retries=0)
async def edge_slow(payload: dict[str, Any]) -> None:
    """End when the test says so."""
    await LET_GO.wait()


@task("chains")
async def chains(payload: dict[str, Any], ctx: Context) -> list[list[str]]:
    """Two chains of two calls, side by side."""

    async def chain(name: str) -> list[str]:
        return [await ctx.call("edge_echo", f"{name}1"), await ctx.call("edge_echo", f"{name}2")]

    return await asyncio.gather(chain("a"), chain("b"))


@task("long_nap")
async def long_nap(payload: dict[str, Any], ctx: Context) -> None:
    """Sleep past one's expiry."""
    await ctx.sleep(3)


@task("catcher", max_retries=0)
async def catcher(payload: dict[str, Any], ctx: Context) -> str:
    """Catch what parks, and do something about it."""
    try:
        answer: str = await ctx.call("edge_echo", "a")
    except BaseException:  # noqa: BLE001 - as some do
        answer = "fallback"
    finally:
        await ctx.step("clean-up", RAN.update, ["clean-up"])
    return answer


@task("relock", max_retries=0)
async def relock(payload: dict[str, Any], ctx: Context) -> None:
    """Enter a lock inside itself."""
    async with ctx.lock("twice"), ctx.lock("twice"):
        pass


@task("half_failed", max_retries=0)
async def half_failed(payload: dict[str, Any], ctx: Context) -> None:
    """Call one that fails and one that goes on."""
    await asyncio.gather(ctx.call("edge_broken", {}), ctx.call("edge_slow", {}))


@task("two_branches", max_retries=0)
async def two_branches(payload: dict[str, Any], ctx: Context) -> None:
    """Enter one lock twice, side by side."""

    async def branch(number: int) -> None:
        async with ctx.lock("shared"):
            await ctx.step(f"inside {number}", lambda: None)

    await asyncio.gather(branch(1), branch(2))


@task("lock_catcher", max_retries=0)
async def lock_catcher(payload: dict[str, Any], ctx: Context) -> None:
    """Catch what parks, inside a lock."""
    async with ctx.lock("caught"):
        with contextlib.suppress(BaseException):  # as some do
            await ctx.call("edge_slow", {})


@task("lock_taker", max_retries=0)
async def lock_taker(payload: dict[str, Any], ctx: Context) -> None:
    """Take it, too."""
    async with ctx.lock("caught"):
        return


KNOWN = "canary-known-by-value-31"


@task("tells_all", max_retries=0)
async def tells_all(payload: dict[str, Any], ctx: Context) -> None:
    """Do what no handler should."""
    shaped = "sk-canary1canary1canary1"
    nested = {"Authorization": "canary-named", "list": [f"x {shaped}"]}
    await ctx.log(f"using {KNOWN}", api_key="canary-named", nested=nested)
    await ctx.progress(0.5, "postgres://user:canary-named@host/db")
    raise Terminal(f"refused: Bearer {shaped}, {KNOWN}, https://h.example/?token=canary-named")
