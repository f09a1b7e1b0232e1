"""The chore that looks through the store of artifacts for files that no row names: what crashes left there."""

import structlog

from orchestrator.operations.tidy import remove_leftovers
from orchestrator.runtime import Runtime
from orchestrator.worker.chores.chore import Chore

_log = structlog.get_logger("orchestrator.leftovers")

_PACE_SECONDS = 6 * 3600.0
"""A look lists the whole store, a thousand files a request."""


def chore(runtime: Runtime) -> Chore:
    async def tick() -> bool:
        deleted = await remove_leftovers(runtime)
        if deleted:
            _log.info("leftovers_deleted", files=deleted, store=runtime.artifacts.name)
        return False

    return Chore("leftovers", _PACE_SECONDS, tick)
