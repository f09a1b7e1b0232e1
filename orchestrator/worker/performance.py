"""Performing: from the payload's JSON to an outcome, in this process. The child of an isolated handler uses it too."""

import asyncio
import functools
from typing import Any

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.outcome import Failed, Parked, Succeeded
from orchestrator.sdk import Handler
from orchestrator.worker.blocking import BlockingContext
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.encoding import encode_result
from orchestrator.worker.failure import judge


async def perform(handler: Handler, context: AttemptContext) -> Succeeded | Failed | Parked:
    """Return what the handler came to, whatever it raised; what it is parked for when it waits.

    Raises LeaseLost, and CancelledError when the task it runs in was cancelled: then the handler's own last word,
    unless it is a result, does not count.
    """
    bench = context.bench
    outcome: Succeeded | Failed | Parked
    running, waits = asyncio.current_task(), context.waits
    waits.begin(running)
    try:
        try:
            payload = handler.decode(context.claim.entry.payload)
            result = await _call(handler, payload, context)
        finally:
            waits.settled()
        outcome = Succeeded(encode_result(result, "the result", bench.max_result_bytes))
    except GeneratorExit:
        raise
    except BaseException as error:
        if running is not None and running.cancelling():
            raise asyncio.CancelledError from error
        outcome = judge(error, handler, bench.clock.now())
    if waits.parked is not None:  # whatever its last word was
        outcome = Parked(waits.parked)
    if context.lost:  # also when the handler caught the exception that said so
        raise LeaseLost(context.task_id, context.fence)
    return outcome


async def _call(handler: Handler, payload: Any, context: AttemptContext) -> Any:
    function = handler.function
    if handler.is_async:
        return await (function(payload, context) if handler.takes_context else function(payload))
    if handler.takes_context:
        return await context.bench.threads.run(functools.partial(function, payload, BlockingContext(context)))
    return await context.bench.threads.run(functools.partial(function, payload))
