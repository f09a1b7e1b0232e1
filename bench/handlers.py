"""The two task types that the bench submits to this system; workers load this file by AUREA_HANDLERS."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from bench.counter import Counter
from orchestrator.sdk import Context, task

_COUNTER = Counter(Path.cwd())


class Sent(BaseModel):
    """The monotonic moment at which the task was submitted, or 0."""

    sent_ns: int = 0


@task("nothing")
async def nothing(payload: Sent, _: Context) -> str:
    """Only count."""
    _COUNTER.note(payload.sent_ns)
    return "done"


@task("nap")
async def nap(_payload: Sent, _: Context) -> str:
    """Wait 50 ms, as for an answer from elsewhere, and count."""
    await asyncio.sleep(0.05)
    _COUNTER.note()
    return "done"
