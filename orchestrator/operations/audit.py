"""Auditing: lines of the audit are kept, many at a time, and read.

In Postgres, or in the outbox while Postgres is away. Whoever is answered that something was done is answered after
its line was kept; a process that dies between the two leaves an act without a line, whose caller got no answer.
"""

import asyncio
from collections.abc import Sequence

import structlog

from orchestrator.batching import Batcher
from orchestrator.domain.audit import Act, AuditFilter, KeptLine, Line, gathered
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.ledger import outbox
from orchestrator.operations.paging import Page, open_cursor, page_of
from orchestrator.operations.standby import appended, leave
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.audit")

_STATEMENT_ACTS = 500
_ANSWER_SECONDS = 2.7
"""For a request and its line: with the way there and back, nobody waits longer than three seconds."""
_LEAST_SECONDS = 0.5
"""For the line alone, however long the request took."""


class Auditor:
    """One process' way to the audit. Start it inside the loop that uses it; `stop` keeps what waits."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        # One lane: lines of a tenant wait for each other in Postgres, so a second would only hold a connection.
        self._batcher: Batcher[Act, None] = Batcher(self._serve, size=_STATEMENT_ACTS, lanes=1)

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()

    async def keep(self, act: Act, asked_at: float) -> None:
        """Return once the act's line is kept. Raises Unavailable when neither store takes the line in time.

        `asked_at`, on the monotonic clock, is when the whole request was there.
        """
        spent = self._runtime.clock.monotonic() - asked_at
        try:
            async with asyncio.timeout(max(_LEAST_SECONDS, _ANSWER_SECONDS - spent)):
                await self._batcher.submit(act)
        except TimeoutError as error:
            raise Unavailable("postgres and redis") from error

    def note(self, act: Act) -> None:
        """Keep a line of something that changed nothing, if that can be; nobody waits for it."""
        self._batcher.submit(act).add_done_callback(_report)

    async def _serve(self, acts: Sequence[Act]) -> list[Exception | None]:
        clock = self._runtime.clock
        now = clock.now()
        await _keep(self._runtime, [Line(clock.task_id(), now, act) for act in gathered(acts)])
        return [None] * len(acts)


async def read_lines(
    runtime: Runtime, tenant: Tenant, wanted: AuditFilter, cursor: str | None, limit: int, *, oldest_first: bool
) -> Page[KeptLine]:
    """Return lines of a tenant's trail, one way or the other. Raises InvalidCursor, or Unavailable."""
    number = open_cursor(cursor, _read_number)
    lines = await runtime.ledger.audit_lines(tenant, wanted, number, limit + 1, oldest_first=oldest_first)
    return page_of(lines, limit, lambda line: str(line.number))


async def _keep(runtime: Runtime, lines: Sequence[Line]) -> None:
    postgres, redis = runtime.standby.postgres, runtime.standby.redis
    if not postgres.silent:
        try:
            await runtime.ledger.append_lines(lines)
            return
        except Unavailable as away:
            leave(runtime, postgres, away)
    if redis.silent:
        raise Unavailable("postgres and redis")
    records = [(line.id, outbox.audited(line)) for line in lines]
    try:
        await appended(runtime, lambda: runtime.queue.append(records))
    except Unavailable as away:
        raise Unavailable("postgres and redis") from away


def _report(kept: asyncio.Future[None]) -> None:
    if not kept.cancelled() and (error := kept.exception()) is not None:
        _log.warning("audit_line_dropped", reason=str(error))


def _read_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**63:
        raise ValueError("not the number of a line")
    return number
