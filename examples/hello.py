"""A handler of your own, in one file. Try it: AUREA_HANDLERS=examples/hello.py ./aurea up"""

from orchestrator.sdk import Context, task


@task("hello", max_retries=3)
async def hello(name: str, ctx: Context) -> str:
    """Greet somebody."""
    await ctx.log("greeting", name=name)
    return f"Hello, {name}!"
