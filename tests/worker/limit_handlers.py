"""A handler that counts how many of it run at once, by tenant."""

import asyncio
from collections import Counter

from orchestrator.sdk import Context, task

AT_ONCE: Counter[str] = Counter()
MOST: Counter[str] = Counter()
FINISHED: Counter[str] = Counter()
ENDED = asyncio.Event()


@task("crowd", max_retries=3)
async def crowd(payload: str, ctx: Context) -> None:
    """Stand with the others for a moment."""
    AT_ONCE[payload] += 1
    MOST[payload] = max(MOST[payload], AT_ONCE[payload])
    try:
        await asyncio.sleep(0.01)
    finally:
        AT_ONCE[payload] -= 1
        FINISHED[payload] += 1
        ENDED.set()
