"""Waiting for a store to come back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from orchestrator.clock import Clock
from orchestrator.domain.errors import Unavailable
from orchestrator.ledger.database import is_strange

T = TypeVar("T")

_log = structlog.get_logger("orchestrator.patience")

_LONGEST_SECONDS = 1.0


async def patiently(clock: Clock, act: Callable[[], Awaitable[T]]) -> T:
    """Repeat an idempotent act until its store answers; waits are jittered and at most a second.

    Says nothing of an outage, which `standby` tells once; but once what Postgres says that no outage explains.
    """
    failures = 0
    strange = False
    while True:
        try:
            return await act()
        except Unavailable as away:
            failures += 1
            strange = strange or log_if_strange(away)
            await asyncio.sleep(clock.chance() * min(_LONGEST_SECONDS, 0.05 * 2.0 ** min(failures, 10)))


def log_if_strange(away: Unavailable) -> bool:
    """Log what Postgres said when no outage explains it; whether that was so."""
    if not is_strange(away.__cause__):
        return False
    _log.error("store_refuses", reason=str(away.__cause__), kind=type(away.__cause__).__name__)
    return True
