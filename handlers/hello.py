"""hello: the first task to try. It needs no key and no network, and shows what a handler can tell."""

import asyncio

from pydantic import BaseModel, Field

from orchestrator.sdk import Context, task


class Greeting(BaseModel):
    """Whom to greet, and how slowly."""

    name: str = "world"
    seconds: float = Field(default=1.0, ge=0, le=600)


@task("hello")
async def hello(payload: Greeting, ctx: Context) -> dict[str, str]:
    """Greet somebody, step by step."""
    words = ["Hello,", f"{payload.name}!"]
    await ctx.log("greeting", name=payload.name)
    for number, word in enumerate(words, start=1):
        await asyncio.sleep(payload.seconds / len(words))
        await ctx.token(f"{word} ")
        await ctx.progress(number / len(words))
    return {"greeting": " ".join(words)}
