"""Testing handlers: no server, no network, no waiting for clocks.

`run_task` runs a task as a worker would, payload check, timeout and verdict included, and returns what became of it:

    >>> from pydantic import BaseModel
    >>> from orchestrator.sdk import Context, Retry, task
    >>> from orchestrator.testing import run_task

    >>> class Resize(BaseModel):
    ...     url: str
    ...     width: int = 640

    >>> async def fetch(url: str) -> str:
    ...     return "pixels"

    >>> @task("resize")
    ... async def resize(payload: Resize, ctx: Context) -> dict:
    ...     await ctx.log("fetching", url=payload.url)
    ...     image = await ctx.step("fetch", fetch, payload.url)
    ...     await ctx.progress(0.5, "fetched")
    ...     if payload.width > 2000 and ctx.attempt < 3:
    ...         raise Retry("the resizer is busy", after=30)
    ...     await ctx.submit("notify", {"size": len(image)})
    ...     return {"size": len(image)}

    >>> run = run_task(resize, {"url": "http://example.com/cat.png"})
    >>> run.result
    {'size': 6}
    >>> run.logs
    [Logged(text='fetching', fields={'url': 'http://example.com/cat.png'})]
    >>> run.progress
    [Progress(fraction=0.5, text='fetched')]
    >>> run.steps
    {'fetch': 'pixels'}
    >>> run.submitted[0].type, run.submitted[0].payload
    ('notify', {'size': 6})

    >>> failed = run_task(resize, {"url": "http://example.com/cat.png", "width": 4000})
    >>> failed.error.type, failed.error.retryable, failed.retry_after_seconds
    ('Retry', True, 30)
    >>> run_task(resize, {"url": "...", "width": 4000}, attempt=3, steps=failed.steps).result
    {'size': 6}

    >>> run_task(resize, {"width": "wide"}).error.message
    "the payload does not fit 'resize': /payload/url: Field required; /payload/width: Input should be a valid integer, unable to parse string as an integer"

In an async test write `run = await run_task(...)`. To meet a handler's exceptions themselves, call an async handler
with a `FakeContext`: `await resize(Resize(url="..."), FakeContext())`. A handler that calls out gets a client that
answers from the test: `run_task(..., http=httpx2.AsyncClient(transport=httpx2.MockTransport(answer)))`.
"""  # noqa: E501 - what doctest compares stands on one line

from orchestrator.testing.clock import FakeClock
from orchestrator.testing.fake_context import FakeContext
from orchestrator.testing.record import Logged, Progress
from orchestrator.testing.run import TaskRun, run_task

__all__ = ["FakeClock", "FakeContext", "Logged", "Progress", "TaskRun", "run_task"]
