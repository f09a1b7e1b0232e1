"""The share of each receiver in a worker's slots for deliveries: as many slots as are left free.

So one receiver has half of them at most, and two have a third each once the first ones are answered; seven that hang,
one after the other, fill all of them. What is over a share waits in its slot while those before it are under way for
less than a second: then its turn is near. Behind a receiver that takes longer it is given back uncounted, to come again
when those before it may have been answered.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from orchestrator.clock import Clock
from orchestrator.domain.errors import SealBroken, SealKeyMissing
from orchestrator.domain.ids import Fence, Tenant
from orchestrator.domain.outcome import Unfit
from orchestrator.domain.subscription import DELIVER
from orchestrator.domain.task import Claim
from orchestrator.operations.seal import open_claim
from orchestrator.vault.vault import Vault
from orchestrator.worker.failure import fail

DELIVERIES_AT_ONCE = 64
SLOW_SECONDS = 1.0
LONGEST_SECONDS = 300.0
"""As the usual wait behind a second failure: who answers again is told the rest within it."""


@dataclass(slots=True)
class _Receiver:
    """Moments are on the monotonic clock."""

    key: tuple[Tenant, str]
    """Whose subscription, or whose callback URLs on which host."""
    begun: dict[Fence, float] = field(default_factory=dict)
    """Since when each delivery is under way, oldest first."""
    waiting: OrderedDict[Fence, asyncio.Event] = field(default_factory=OrderedDict)
    last_back_at: float = 0.0
    """When the last one that was given back comes again."""

    @property
    def oldest(self) -> float:
        return next(iter(self.begun.values()))


class Shares:
    def __init__(self, clock: Clock, vault: Vault) -> None:
        self._clock = clock
        self._vault = vault
        self._receivers: dict[tuple[Tenant, str], _Receiver] = {}
        self._let: dict[Fence, _Receiver] = {}
        """Who is under way."""

    async def enter(self, claim: Claim) -> Unfit | None:
        """Return once the receiver's share allows this delivery, in the order in which they came: None.

        Or what gives it back, when that is not soon. Whoever was let in leaves, however it ends.
        """
        if claim.entry.type != DELIVER:
            return None
        key = self._receiver_of(claim)
        receiver = self._receivers.setdefault(key, _Receiver(key))
        if not self._fits(receiver):
            return await self._wait(receiver, claim.fence)
        self._let_in(receiver, claim.fence)
        return None

    def leave(self, fence: Fence) -> None:
        """A slot more is free, and everybody's share has grown. One that was not let in is ignored."""
        left = self._let.pop(fence, None)
        if left is None:
            return
        del left.begun[fence]
        for receiver in self._receivers.values():
            while receiver.waiting and self._fits(receiver):
                next_fence, turn = receiver.waiting.popitem(last=False)
                self._let_in(receiver, next_fence)
                turn.set()
        if not left.begun:
            del self._receivers[left.key]

    def _fits(self, receiver: _Receiver) -> bool:
        return not receiver.begun or len(receiver.begun) < DELIVERIES_AT_ONCE - len(self._let)

    def _let_in(self, receiver: _Receiver, fence: Fence) -> None:
        receiver.begun[fence] = self._clock.monotonic()
        self._let[fence] = receiver

    async def _wait(self, receiver: _Receiver, fence: Fence) -> Unfit | None:
        turn = receiver.waiting[fence] = asyncio.Event()
        try:
            while not turn.is_set():
                seconds = receiver.oldest + SLOW_SECONDS - self._clock.monotonic()
                if seconds <= 0:
                    return self._given_back(receiver)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await turn.wait()
            return None
        finally:
            receiver.waiting.pop(fence, None)

    def _given_back(self, receiver: _Receiver) -> Unfit:
        """One behind the other, as far apart as the receiver has shown to need: they do not all come at once."""
        now, many = self._clock.monotonic(), len(receiver.begun)
        seconds = now - receiver.oldest
        receiver.last_back_at = max(receiver.last_back_at, now + seconds) + seconds / many
        after = min(receiver.last_back_at - now, LONGEST_SECONDS)
        receiver.last_back_at = now + after
        message = (
            f"{many} deliveries to {receiver.key[1]} are under way from this worker, the oldest for {seconds:.0f} s"
        )
        return Unfit(fail(DELIVER, "crowded", message).error, after)

    def _receiver_of(self, claim: Claim) -> tuple[Tenant, str]:
        try:
            letter = orjson.loads(open_claim(self._vault, claim).entry.payload)
            return claim.entry.tenant, letter["subscription"] or str(urlsplit(letter["url"]).hostname)
        except (SealKeyMissing, SealBroken, ValueError):
            return claim.entry.tenant, "nobody"  # it ends without a request
