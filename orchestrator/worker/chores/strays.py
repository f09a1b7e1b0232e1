"""The chore that looks the other way round: what Redis holds and Postgres has ended is dropped.

Strays come from a cancellation while Redis was away, and from a process that died between its commit and its word to
Redis. The leased ones are all looked at each time, the waiting ones in pages, of the held ones those that come next.
One is dropped at the second look: for a moment, between the commit of an ending and the word to Redis, every task is
one.
"""

from orchestrator.domain.ids import TaskId
from orchestrator.operations.sweep import drop_ended
from orchestrator.runtime import Runtime

_PAGE = 1_000


class Strays:
    """One process' looks; a second one elsewhere drops the same tasks and does no harm."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._suspects: set[TaskId] = set()
        self._places: dict[str, int] = {}

    async def look(self) -> bool:
        held = {*await self._runtime.queue.leased(), *await self._waiting(), *self._suspects}
        ended = set(await self._runtime.ledger.ended_of(list(held))) if held else set()
        confirmed = ended & self._suspects
        self._suspects = ended - confirmed
        await drop_ended(self._runtime, list(confirmed))
        return False

    async def _waiting(self) -> list[TaskId]:
        """The next page of each queue, as many of each; after its end a queue begins anew."""
        names = await self._runtime.queue.names()
        share = _PAGE // max(1, len(names)) + 1
        ids = await self._runtime.queue.first_held(_PAGE)
        for name in names:
            first = self._places.get(name, 0)
            page = await self._runtime.queue.pending(name, first, share)
            self._places[name] = first + share if len(page) == share else 0
            ids += page
        return ids
