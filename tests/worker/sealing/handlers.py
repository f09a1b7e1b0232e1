"""Handlers that are told a secret and put it wherever a handler can put something."""

from typing import Any

from pydantic import BaseModel

from orchestrator.sdk import Context, task


class Confidence(BaseModel):
    secret: str
    fails: int = 0


@task("confide")
async def confide(payload: Confidence, ctx: Context) -> dict[str, Any]:
    """Keep it in a step, tell it, fail with it as often as asked, hand it to a child, and return it."""
    kept = await ctx.step("remember", lambda: {"kept": payload.secret})
    await ctx.log(f"heard {payload.secret}", secret=payload.secret)
    await ctx.progress(0.5, payload.secret)
    await ctx.token(payload.secret)
    if ctx.attempt <= payload.fails:
        raise RuntimeError(f"cannot keep {payload.secret}")
    child = await ctx.call("whisper", {"secret": payload.secret})
    return {"kept": kept["kept"], "child": child}


@task("whisper")
async def whisper(payload: Confidence, ctx: Context) -> str:
    """Return it as a text, through a step and a line of the log."""
    await ctx.log("whispering", secret=payload.secret)
    return str(await ctx.step("whispered", lambda: payload.secret))


@task("whisper_apart", isolation="process")
async def whisper_apart(payload: Confidence, ctx: Context) -> str:
    """The same in a process of its own, through a step."""
    return str(await ctx.step("apart", lambda: payload.secret))


@task("blurt", max_retries=0)
async def blurt(payload: Confidence, ctx: Context) -> None:
    """Fail for good, with the secret in the message."""
    raise RuntimeError(f"cannot keep {payload.secret}")


@task("parrot")
async def parrot(payload: Any) -> Any:
    """Return whatever came."""
    return payload
