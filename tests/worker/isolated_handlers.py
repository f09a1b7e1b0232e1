"""Handlers with a process of their own, as a user's module would hold them."""

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

from orchestrator.sdk import Call, Context, Message, ModelRequest, Retry, SyncContext, refusals, task


@task("iso_work", isolation="process")
def work(payload: dict, ctx: SyncContext) -> Any:
    sys.stdout.write("printed\n")
    sys.stderr.write("complained\n")
    ctx.log("working", pid=os.getpid())
    ctx.progress(0.5, "half")
    ctx.token("to")
    ctx.token("ken")
    kept = [*ctx.step("once", lambda: [os.getpid()]), ctx.step("image", lambda: b"\0\xff").hex()]
    child = ctx.submit("other", {"a": 1}, priority=2)
    return {"kept": kept, "child": child, "secret": ctx.config.require("SECRET"), "attempt": ctx.attempt, **payload}


@task("iso_async", isolation="process")
async def work_async(payload: dict, ctx: Context) -> Any:
    answer = await ctx.http.get(payload["url"])
    return {"text": answer.text, "trace": answer.request.headers["traceparent"], "key": ctx.effect_key("a")}


@task("iso_raise", isolation="process")
def raising(payload: dict, ctx: SyncContext) -> None:
    raise {"retry": Retry("later", after=9), "exit": SystemExit(4)}[payload["how"]]


@task("iso_die", isolation="process")
def dying(payload: dict, ctx: SyncContext) -> None:
    ctx.log("about to die")
    if payload["how"] == "exit":
        os._exit(7)
    ctypes.string_at(0)


@task("iso_linger", isolation="process")
def lingering(payload: dict, ctx: SyncContext) -> str:
    """Start a process of its own and tell both ids."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    ctx.log("lingers", pids=[os.getpid(), grandchild.pid])
    while not payload.get("returns"):
        time.sleep(60)
    return "done"


@task("iso_block", isolation="process")
async def blocking(payload: dict, ctx: Context) -> None:
    """Leave the loop of its process no turn."""
    await ctx.log("blocks", pids=[os.getpid()])
    time.sleep(600)  # noqa: ASYNC251 - that is the fault


@task("iso_eat", isolation="process", memory_mb=64)
def eating(payload: dict, ctx: SyncContext) -> int:
    return len(bytearray(payload["mb"] * 2**20))


@task("iso_flood", isolation="process")
def flooding(payload: dict, ctx: SyncContext) -> str:
    sys.stdout.write("x" * 100_000 + "\n")
    sys.stdout.writelines(f"{number}\n" for number in range(3_000))
    return "flooded"


@task("iso_ask", isolation="process")
def asking(payload: dict, ctx: SyncContext) -> Any:
    """Tell of the refusal that the payload names; leave any other alone."""
    try:
        ctx.generate("ask", ModelRequest(messages=(Message("user", "hello"),)))
    except getattr(refusals, payload.get("catches", "AddressRefused")) as refused:
        return [type(refused).__name__, str(refused), vars(refused)]


@task("iso_call", isolation="process")
async def calling(payload: dict, ctx: Context) -> list[str]:
    answers = await ctx.call_all([Call("one", {}), Call("other", {})], return_exceptions=True)
    return [type(answer).__name__ for answer in answers]
