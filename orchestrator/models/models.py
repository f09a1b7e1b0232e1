"""The models of this process: which to ask for a request, and one try at one of them.

A provider's SDK is imported when it is first used, in a thread: it takes seconds. Each provider has one client, closed
with the process. Keys are known here and in the SDKs alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.domain.errors import InvalidInput, Issue, NotConfigured
from orchestrator.models import chain
from orchestrator.models.access import Access
from orchestrator.models.asking import Answer, Heard, Provider
from orchestrator.models.breaker import Breaker
from orchestrator.models.chain import PROVIDERS, Candidate
from orchestrator.models.faults import Fault, Kind
from orchestrator.models.prices import Price, Prices, open_prices
from orchestrator.sdk.model import ModelRequest

SILENT_SECONDS = 10.0
"""A provider that sends nothing for so long may be away."""


@dataclass(slots=True)
class _Opened:
    provider: Provider | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_NOBODY = (
    "to ask a model: no provider of AUREA_MODEL_CHAIN has a key; for a server of your own set OPENAI_BASE_URL, and name"
    " openai in the chain"
)


class Models:
    """`accesses` has one for each of the providers."""

    def __init__(self, accesses: Sequence[Access], entries: Sequence[str], prices: Prices, clock: Clock) -> None:
        self._accesses = {access.provider: access for access in accesses}
        self._chain = chain.read(entries, {access.provider: access.model for access in accesses})
        self._prices = prices
        self._clock = clock
        self._breaker = Breaker(clock)
        self._opened = {name: _Opened() for name in PROVIDERS}

    def candidates(self, request: ModelRequest) -> tuple[Candidate, ...]:
        """Return whom to ask, in order. Raises NotConfigured naming the missing variable, or InvalidInput."""
        if request.provider != "auto":
            access = self._accesses[request.provider]
            if not access.is_usable:
                raise NotConfigured(access.variable, f"to ask a model of {request.provider}")
            return (Candidate(request.provider, request.model or access.model),)
        if request.model is not None:
            raise InvalidInput("a model is named without its provider", [Issue("/provider", "name the provider, too")])
        usable = tuple(candidate for candidate in self._chain if self._accesses[candidate.provider].is_usable)
        if not usable:
            names = dict.fromkeys(self._accesses[candidate.provider].variable for candidate in self._chain)
            raise NotConfigured(" or ".join(names), _NOBODY)
        return usable

    def price(self, candidate: Candidate) -> Price:
        """Raises PriceUnknown."""
        return self._prices.of(candidate, self._clock.now())

    def turn(self, candidate: Candidate) -> AbstractContextManager[Callable[[], None]]:
        """Hold the breaker around one try, as `Breaker.turn` says. Raises Fault when it is not the time."""
        return self._breaker.turn(candidate)

    async def ask(self, candidate: Candidate, request: ModelRequest, heard: Heard) -> Answer:
        """Ask once. Raises Fault, within the request's time, and what `heard.tell` raises."""
        provider = await self._provider(candidate.provider)
        seconds = request.timeout_seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                return await provider.ask(candidate.model, request, heard)
        except TimeoutError:
            if not limit.expired():
                raise
        except Fault as fault:
            if fault.kind is not Kind.SLOW:
                raise
        # Who has little time, or a long answer under way, says nothing about the provider.
        is_silent = not heard.begun and seconds >= SILENT_SECONDS
        raise Fault(Kind.SILENT if is_silent else Kind.SLOW, f"no whole answer within {seconds:g} s")

    async def close(self) -> None:
        for opened in self._opened.values():
            if opened.provider is not None:
                await opened.provider.close()

    async def _provider(self, name: str) -> Provider:
        opened = self._opened[name]
        async with opened.lock:
            if opened.provider is None:
                opened.provider = await asyncio.to_thread(_open, self._accesses[name], self._clock)
            return opened.provider


def open_models(accesses: Sequence[Access], entries: Sequence[str], prices: Path | None, clock: Clock) -> Models:
    """Return the models that are configured. Raises NotConfigured for a file of prices that cannot be read."""
    return Models(accesses, entries, open_prices(prices, accesses), clock)


def _open(access: Access, clock: Clock) -> Provider:
    key = access.key.get_secret_value() if access.key is not None else ""
    if access.is_own_server:
        from orchestrator.models.openai_compatible import OpenAICompatible

        return OpenAICompatible(key, access.base_url, clock)
    if access.provider == "anthropic":
        from orchestrator.models.anthropic import Anthropic

        return Anthropic(key, access.base_url, clock)
    if access.provider == "gemini":
        from orchestrator.models.gemini import Gemini

        return Gemini(key, access.base_url, clock)
    from orchestrator.models.openai import OpenAI

    return OpenAI(key, access.base_url, clock)
