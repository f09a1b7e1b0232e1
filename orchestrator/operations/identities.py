"""Recognising API keys: what each process believes of them, for four seconds at most.

A key is looked up in Redis, which has what ended lately, and then in Postgres. While Postgres is away the copy in Redis
stands in, and what Redis does not know is not decided; while Redis is away Postgres alone answers. So a revocation
holds everywhere within five seconds, through whichever store it came. A key in use costs its requests no round trip: it
is looked up again beside them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from orchestrator.domain.api_key import ApiKey, Presented, opens, parse
from orchestrator.domain.errors import Unauthorized, Unavailable
from orchestrator.domain.principal import Kind, Principal
from orchestrator.operations.key_copy import read_copy, write_copy
from orchestrator.operations.standby import leave
from orchestrator.queue.keyring import REVOKED, Remembered
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.identities")

FRESH_SECONDS = 2.0
"""Then a key is looked up again, beside the request."""
LONGEST_SECONDS = 4.0
"""Nothing older is believed."""
_MOST_ENTRIES = 20_000
_WATCH_SECONDS = 1.0
_NOTE_SECONDS = 60.0
_UNKNOWN = "this API key is not good here: it is unknown, or not the key that was given out"


@dataclass(frozen=True, slots=True)
class _Entry:
    key: ApiKey | None
    asked_at: float
    """On the monotonic clock, before the first store was asked."""


@dataclass(slots=True)
class _Watched:
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0


class Identities:
    """One process' knowledge of keys."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._asking: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._watched: dict[str, _Watched] = {}
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, float] = {}
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        turns = ((_WATCH_SECONDS, self._look_after_all), (_NOTE_SECONDS / 12, self._note_use))
        self._loops = [asyncio.create_task(_keep_turning(seconds, turn)) for seconds, turn in turns]

    async def stop(self) -> None:
        """Write down what was used and not yet noted."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, *self._asking.values(), return_exceptions=True)
        self._noted.clear()
        await self._note_use()

    async def identify(self, text: str, pay: Callable[[], Awaitable[None]]) -> Principal:
        """Return who sent a key.

        Raises Unauthorized, which says no more of a wrong secret than of an unknown id; Unavailable when the stores
        that know are away. `pay` is called before they are asked for a key that this process does not know, and what
        it raises is raised: so many unknown keys do not make as many lookups.
        """
        presented = parse(text)
        if presented is None:
            raise Unauthorized("this API key is misspelled: copy it again, whole and unchanged")
        return await self._open(presented, pay)

    async def _open(self, presented: Presented, pay: Callable[[], Awaitable[None]]) -> Principal:
        key = await self._known(presented.id, pay)
        if not opens(presented, key) or key is None:
            raise Unauthorized(_UNKNOWN)
        now = self._runtime.clock.now()
        if not key.is_good(now):
            raise Unauthorized(f"this API key was revoked: {key.prefix}" if key.revoked_at else "this API key expired")
        self._used[key.id] = now
        return key.principal

    async def until_ended(self, principal: Principal) -> None:
        """Return when what a principal came with opens nothing any more: within five seconds for a revoked key."""
        if principal.kind is Kind.KEY:
            with self._watch(principal.id) as ended:
                await ended.wait()
        elif principal.until is not None:
            await asyncio.sleep((principal.until - self._runtime.clock.now()).total_seconds())
        else:
            await asyncio.Event().wait()

    @contextmanager
    def _watch(self, key_id: str) -> Iterator[asyncio.Event]:
        watched = self._watched.setdefault(key_id, _Watched())
        watched.watchers += 1
        try:
            yield watched.ended
        finally:
            watched.watchers -= 1
            if not watched.watchers and self._watched.get(key_id) is watched:
                del self._watched[key_id]

    async def _known(self, key_id: str, pay: Callable[[], Awaitable[None]]) -> ApiKey | None:
        entry = self._entries.get(key_id)
        age = self._age(entry)
        known = None if entry is None else entry.key
        if age < LONGEST_SECONDS:
            if known is not None and age >= FRESH_SECONDS:
                self._ask(key_id)
            return known
        if known is None:
            await pay()
        return await asyncio.shield(self._ask(key_id))

    def _age(self, entry: _Entry | None) -> float:
        return LONGEST_SECONDS if entry is None else self._runtime.clock.monotonic() - entry.asked_at

    def _ask(self, key_id: str) -> "asyncio.Task[ApiKey | None]":
        """Look a key up, once for all who want it now."""
        asking = self._asking.get(key_id)
        if asking is None:
            asking = self._asking[key_id] = asyncio.create_task(self._look_up(key_id))
            asking.add_done_callback(lambda asked: self._asked(key_id, asked))
        return asking

    def _asked(self, key_id: str, asked: "asyncio.Task[ApiKey | None]") -> None:
        del self._asking[key_id]
        if not asked.cancelled():
            asked.exception()  # taken: who asked beside a request does not wait for it

    async def _look_up(self, key_id: str) -> ApiKey | None:
        asked_at = self._runtime.clock.monotonic()
        remembered = await self._remembered(key_id)  # first: what is paid there is in Postgres by now
        key = _ending(await self._recorded(key_id, remembered), remembered)
        self._entries[key_id] = _Entry(key, asked_at)
        self._entries.move_to_end(key_id)
        if len(self._entries) > _MOST_ENTRIES:
            self._entries.popitem(last=False)
        return key

    async def _remembered(self, key_id: str) -> Remembered | None:
        redis = self._runtime.standby.redis
        if redis.away:
            return None
        try:
            return await self._runtime.keyring.look(key_id)
        except Unavailable as away:
            leave(self._runtime, redis, away)
            return None

    async def _recorded(self, key_id: str, remembered: Remembered | None) -> ApiKey | None:
        postgres = self._runtime.standby.postgres
        if not postgres.silent:
            try:
                key = await self._runtime.ledger.key(key_id)
            except Unavailable as away:
                leave(self._runtime, postgres, away)
            else:
                await self._remember(key, remembered)
                return key
        if remembered is None:
            raise Unavailable("postgres and redis")
        if remembered.copy is None and remembered.ends_at != REVOKED:
            raise Unavailable("postgres")
        return None if remembered.copy is None else read_copy(remembered.copy)

    async def _remember(self, key: ApiKey | None, remembered: Remembered | None) -> None:
        if key is None or remembered is None or write_copy(key) == remembered.copy:
            return
        with suppress(Unavailable):  # the next one who looks it up does it
            await self._runtime.keyring.remember({key.id: write_copy(key)})

    async def _look_after_all(self) -> None:
        await asyncio.gather(*(self._look_after(key_id) for key_id in self._watched))

    async def _look_after(self, key_id: str) -> None:
        """Tell those who watch a key when it has ended, or when nobody can say."""
        with suppress(Unavailable):
            if self._age(self._entries.get(key_id)) >= FRESH_SECONDS:
                await asyncio.shield(self._ask(key_id))
        entry = self._entries.get(key_id)
        known = None if entry is None or self._age(entry) >= LONGEST_SECONDS else entry.key
        if (known is None or not known.is_good(self._runtime.clock.now())) and (
            watched := self._watched.pop(key_id, None)
        ):
            watched.ended.set()

    async def _note_use(self) -> None:
        """Write when keys were last used, of each at most once a minute."""
        now = self._runtime.clock.monotonic()
        self._noted = {key_id: at for key_id, at in self._noted.items() if now - at < _NOTE_SECONDS}
        due = {key_id: at for key_id, at in self._used.items() if key_id not in self._noted}
        if not due or self._runtime.standby.postgres.silent:
            return
        with suppress(Unavailable):
            await self._runtime.ledger.note_use(due)
            for key_id, at in due.items():
                self._noted[key_id] = now
                if self._used[key_id] == at:
                    del self._used[key_id]


async def _keep_turning(seconds: float, turn: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await turn()
        except Exception:  # noqa: BLE001 - streams of revoked keys would go on for ever
            _log.exception("turn_failed")


def _ending(key: ApiKey | None, remembered: Remembered | None) -> ApiKey | None:
    """Let the earliest end count that anybody knows of."""
    if key is None or remembered is None or remembered.ends_at is None:
        return key
    if remembered.ends_at == REVOKED:
        return replace(key, revoked_at=key.revoked_at or REVOKED)
    ends_at = remembered.ends_at if key.expires_at is None else min(remembered.ends_at, key.expires_at)
    return replace(key, expires_at=ends_at)
