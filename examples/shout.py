"""A handler of your own, in one file. Try it: AUREA_HANDLERS=examples/shout.py ./aurea up"""

from orchestrator.sdk import Context, task


@task("shout", max_retries=3)
async def shout(text: str, ctx: Context) -> str:
    """Say it louder."""
    await ctx.log("shouting", characters=len(text))
    return f"{text.upper()}!"
