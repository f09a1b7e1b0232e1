"""The purse: no model is called before the worst that the call may cost is set aside.

Postgres alone decides, so an emptied Redis changes nothing; while Postgres is away, who wants to spend waits. A
reservation counts as long as its attempt is the one that runs: what a vanished attempt had set aside is free with its
lease. What a call came to is kept in any case, also when the attempt lost its lease meanwhile: the money is gone.

All money passes one row of the day. So what is asked, spent or given back at about the same time shares one statement:
many calls at once wait for that row a few times together, not each for itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog

from orchestrator.batching import Batcher
from orchestrator.domain.errors import BudgetUsed, LeaseLost, NotConfigured, Unavailable
from orchestrator.domain.money import Ask, Reservation, Spend, Standing, to_usd
from orchestrator.domain.task import Claim
from orchestrator.operations.budget import release_dead
from orchestrator.operations.patience import patiently
from orchestrator.runtime import Runtime

T = TypeVar("T")
R = TypeVar("R")

_log = structlog.get_logger("orchestrator.purse")

_BATCH = 200
_RELAY_SECONDS = 0.2
"""Between two looks for a start that waits in the outbox."""
_LAST_SECONDS = 2.0
"""How long a cancelled caller, and a purse that is closed, wait for what is still to be written."""
_NEARLY, _ALL = 80, 100


class Purse:
    """The one way to spend. Start it inside the loop that uses it; `stop` drains it, if Postgres answers in time."""

    def __init__(self, runtime: Runtime, start: Callable[[Claim], Awaitable[bool]]) -> None:
        """`start` puts an attempt on record as running; False when it never will be."""
        self._runtime = runtime
        self._start = start
        self._asking: Batcher[Ask, Reservation | Standing | None] = _batcher(self._ask)
        self._spending: Batcher[Spend, None] = _batcher(self._spend)
        self._releasing: Batcher[Reservation, None] = _batcher(self._release)

    def start(self) -> None:
        for batcher in (self._asking, self._spending, self._releasing):
            batcher.start()

    async def stop(self) -> None:
        await asyncio.gather(_drained(self._asking), _drained(self._spending))
        await _drained(self._releasing)  # which takes back what was granted to those who had gone

    async def reserve(
        self, claim: Claim, provider: str, model: str, amount_nano: int, task_limit_nano: int | None = None
    ) -> Reservation:
        """Set the worst case of a call aside, against the day, the tenant's, its type's and the task's limit, or none.

        Raises BudgetExceeded with the figures, LeaseLost, and NotConfigured in a worker without Postgres. Waits while
        Postgres is away. What a cancelled call had set aside is given back.
        """
        if self._runtime.standby.isolated:
            raise NotConfigured("DATABASE_URL", "for this worker: the budget of models is kept in Postgres")
        entry, reservation_id = claim.entry, str(self._runtime.clock.task_id())
        whose = (entry.id, entry.tenant, entry.type, claim.fence)
        ask = Ask(reservation_id, *whose, provider, model, amount_nano, task_limit_nano)
        pause = 0.0
        while (answer := await self._answer(ask)) is None:
            await asyncio.sleep(pause)
            if not await self._start(claim):
                raise LeaseLost(entry.id, claim.fence)
            pause = _RELAY_SECONDS
        if isinstance(answer, Standing):
            raise answer.exceeded_by(amount_nano)
        return answer

    async def spend(self, spend: Spend) -> None:
        """Keep what a call came to, and give back what was reserved beyond it; once, however often it is told.

        Waits while Postgres is away. A cancelled caller waits for it a moment; it is kept all the same.
        """
        await _finished(self._spending.submit(spend))

    async def release(self, reservation: Reservation) -> None:
        """Give back all of a reservation: the call used nothing."""
        await _finished(self._releasing.submit(reservation))

    async def _answer(self, ask: Ask) -> Reservation | Standing | None:
        asked = self._asking.submit(ask)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    def _give_back(self, asked: asyncio.Future[Reservation | Standing | None]) -> None:
        """What was granted after its caller had gone."""
        if asked.cancelled() or asked.exception() is not None:
            return
        answer = asked.result()
        if isinstance(answer, Reservation):
            self._releasing.submit(answer)

    async def _ask(self, asks: Sequence[Ask]) -> list[Reservation | Standing | None]:
        answers = dict(zip(asks, await self._asked(asks), strict=True))
        refused = [ask for ask, answer in answers.items() if isinstance(answer, Standing)]
        if refused:
            await patiently(self._runtime.clock, lambda: release_dead(self._runtime))  # they may hold what is missing
            answers.update(zip(refused, await self._asked(refused), strict=True))
            await self._warn((answer for answer in answers.values() if isinstance(answer, Standing)), refused=True)
        return list(answers.values())

    async def _asked(self, asks: Sequence[Ask]) -> list[Reservation | Standing | None]:
        ledger, default = self._runtime.ledger, self._runtime.limits.day_budget_nano
        return await patiently(self._runtime.clock, lambda: ledger.reserve(asks, day_limit_nano=default))

    async def _spend(self, spends: Sequence[Spend]) -> list[None]:
        ledger, default = self._runtime.ledger, self._runtime.limits.day_budget_nano
        stale, standings = await patiently(self._runtime.clock, lambda: ledger.spend(spends, day_limit_nano=default))
        for spend in spends:
            held = spend.reservation
            if held.id in stale:
                self._runtime.metrics.lease_lost()
                _log.warning("stale_spend", task_id=held.task_id, fence=held.fence, cost_usd=to_usd(spend.cost_nano))
        await self._warn(standings)
        return [None] * len(spends)

    async def _release(self, reservations: Sequence[Reservation]) -> list[None]:
        ids = [reservation.id for reservation in reservations]
        await patiently(self._runtime.clock, lambda: self._runtime.ledger.unreserve(ids))
        return [None] * len(ids)

    async def _warn(self, standings: Iterable[Standing], *, refused: bool = False) -> None:
        """Tell people, once a day each, that a limit is nearly reached and that it is."""
        for standing in {(each.scope, each.tenant, each.type, each.day): each for each in standings}.values():
            percentage = _percentage(standing, refused)
            if percentage <= standing.warned or standing.scope == "task":
                continue
            try:
                if not await self._runtime.ledger.note_warning(standing, percentage):
                    continue
            except Unavailable:
                continue  # the next call tells
            whose = _name(standing)
            used, limit = to_usd(standing.spent_nano), to_usd(standing.limit_nano or 0)
            _log.warning("budget_used", whose=whose, percentage=percentage, spent_usd=used, limit_usd=limit)
            state = "are spent" if percentage == _ALL else f"are spent to {_NEARLY} %"
            told = BudgetUsed(f"the ${limit:,.2f} of {whose} for today {state}")
            self._runtime.reports.send(told, percentage=str(percentage))


def _name(standing: Standing) -> str:
    whose = "the system" if standing.tenant is None else f"the tenant {standing.tenant}"
    return whose if standing.type is None else f"{whose}'s tasks of type {standing.type}"


def _percentage(standing: Standing, refused: bool) -> int:
    """What there is to tell. The last cents are rarely spent to the last: a call that asks for more shows the end."""
    spent, limit = standing.spent_nano, standing.limit_nano
    if not limit or spent * 100 < limit * _NEARLY:
        return 0
    return _ALL if refused or spent >= limit else _NEARLY


def _batcher(serve: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> Batcher[T, R]:
    """One lane, so that a process waits for the day's row once at a time. What cannot be served fails alone."""

    async def served(asked: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return await serve(asked)
        except Exception as error:  # noqa: BLE001 - whose it is, that one is told
            if len(asked) == 1:
                return [error]
            return [(await served([each]))[0] for each in asked]

    return Batcher(served, size=_BATCH, lanes=1)


async def _drained(batcher: Batcher[Any, Any]) -> None:
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await batcher.stop()
    except TimeoutError:
        _log.warning("purse_not_drained")


async def _finished(writing: asyncio.Future[Any]) -> None:
    """Wait for a write; for a moment also when the caller is cancelled meanwhile."""
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing], timeout=_LAST_SECONDS)
        raise
