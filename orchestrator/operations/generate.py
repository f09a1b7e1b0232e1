"""A model call with its money: the worst case is reserved before each try, and what it came to is spent after it.

A try that failed before the provider began to answer gives its reservation back. One that broke later is paid for by
what was heard of it: the input, and the text that came. So the budget errs to the safe side. An answer that comes
back was paid for; that it is kept, so that nobody pays again, is the caller's part.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from orchestrator.domain.errors import BudgetExceeded, PriceUnknown
from orchestrator.domain.money import Reservation, Spend, to_nano, to_usd
from orchestrator.domain.task import Claim
from orchestrator.models import structured
from orchestrator.models.asking import Answer, Heard, Tell
from orchestrator.models.bound import most_input_tokens
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind
from orchestrator.models.models import Models
from orchestrator.models.prices import Price
from orchestrator.models.schema_form import check_form
from orchestrator.models.verdict import FINAL, Trouble, verdict
from orchestrator.operations.purse import Purse
from orchestrator.runtime import Runtime
from orchestrator.sdk.model import ModelReply, ModelRequest, Usage

_log = structlog.get_logger("orchestrator.generate")

Note = Callable[[str], Awaitable[None]]


async def generate(
    runtime: Runtime, purse: Purse, claim: Claim, step: str, request: ModelRequest, tell: Tell, note: Note
) -> ModelReply:
    """Ask the request's model, or the models of the chain one after the other, and return the first answer.

    `tell` gets the text as it grows; None says that what it got so far does not count. `note` hears of each model that
    failed. Raises NotConfigured,
    InvalidInput, PriceUnknown, ModelRefused and BudgetExceeded, which are terminal; ModelUnavailable and
    ModelMalformed, worth a retry; and LeaseLost.
    """
    if request.schema is not None:
        check_form(request.schema)
    call = _Call(runtime.models, purse, claim, step, request, tell)
    troubles: list[Trouble] = []
    for candidate in runtime.models.candidates(request):
        try:
            return await call.at(candidate)
        except (Fault, BudgetExceeded, PriceUnknown) as cause:
            troubles.append(Trouble(candidate, cause))
            kind = cause.kind if isinstance(cause, Fault) else cause.code
            _log.warning("model_failed", model=str(candidate), kind=str(kind), reason=str(cause))
            await note(f"{candidate} did not answer: {cause}")
            if kind in FINAL:
                break
    raise verdict(troubles)


@dataclass(slots=True)
class _Call:
    """One call over all its tries."""

    _models: Models
    _purse: Purse
    _claim: Claim
    _step: str
    _request: ModelRequest
    _tell: Tell
    _cost_nano: int = field(default=0, init=False)

    async def at(self, candidate: Candidate) -> ModelReply:
        """Ask one candidate; once more, when its output is not what was asked for.

        Raises Fault, and before a try BudgetExceeded and PriceUnknown.
        """
        request = self._request
        try:
            answer = await self._try(candidate, request)
        except Fault as fault:
            if fault.kind is not Kind.MALFORMED:
                raise
            answer = await self._try(candidate, request)
        value, wrong = await self._read(answer)
        if wrong:
            answer = await self._try(candidate, structured.mended(request, answer.text, wrong))
            value, wrong = await self._read(answer)
        if wrong:
            raise Fault(Kind.MALFORMED, f"its JSON does not fit the schema: {'; '.join(wrong)}")
        return ModelReply(
            text=answer.text,
            provider=candidate.provider,
            model=candidate.model,
            stop=answer.stop,
            usage=answer.usage or Usage(),
            cost_usd=to_usd(self._cost_nano),
            tool_calls=answer.tool_calls,
            data=value,
        )

    async def _read(self, answer: Answer) -> tuple[object, list[str]]:
        """Return the JSON that was asked for, and what is wrong with it. Raises Fault for one that was cut off."""
        if self._request.schema is None or answer.stop == "tool":
            return None, []
        value, wrong = structured.read(answer.text, self._request.schema)
        if wrong:
            await self._take_back(answer.text)
            if answer.stop == "length":
                most = self._request.max_tokens
                raise Fault(Kind.LENGTH, f"its JSON had not ended after {most} tokens: raise max_tokens")
        return value, wrong

    async def _try(self, candidate: Candidate, request: ModelRequest) -> Answer:
        models = self._models
        price, most_input = models.price(candidate), most_input_tokens(request)
        with models.turn(candidate) as begun:
            heard = Heard(self._tell if request.stream else None, begun)
            reservation = await self._purse.reserve(
                self._claim,
                candidate.provider,
                candidate.model,
                price.worst_nano(most_input, request.max_tokens),
                self._limit_nano,
            )
            try:
                answer = await models.ask(candidate, request, heard)
            except BaseException as failure:
                await self._give_up(reservation, price, heard, most_input)
                if heard.is_told and isinstance(failure, Fault):
                    await self._tell(None)
                raise
            await self._spend(reservation, price, answer.usage or self._estimate(heard, most_input), ok=True)
        if answer.stop == "refusal":
            await self._take_back(answer.text)
            raise Fault(Kind.CONTENT, answer.refusal or "it gave no reason")
        return answer

    @property
    def _limit_nano(self) -> int | None:
        limit_usd = self._request.max_cost_usd
        return None if limit_usd is None else to_nano(limit_usd)

    async def _give_up(self, reservation: Reservation, price: Price, heard: Heard, most_input: int) -> None:
        """Settle a try that came to nothing."""
        if heard.begun:
            await self._spend(reservation, price, self._estimate(heard, most_input), ok=False)
        else:
            await self._purse.release(reservation)

    async def _spend(self, reservation: Reservation, price: Price, usage: Usage, *, ok: bool) -> None:
        cost_nano = price.cost_nano(usage)
        self._cost_nano += cost_nano
        spend = Spend(
            reservation,
            self._step,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            cost_nano,
            price.facts,
            ok,
        )
        await self._purse.spend(spend)

    def _estimate(self, heard: Heard, most_input: int) -> Usage:
        """What was used at the most: as the provider counted, else the whole input and a token for each byte."""
        counted = heard.usage or Usage(most_input)
        output = max(counted.output_tokens, min(heard.output_bytes, self._request.max_tokens))
        return Usage(counted.input_tokens, output, counted.cached_tokens, counted.cache_write_tokens)

    async def _take_back(self, text: str) -> None:
        if text and self._request.stream:
            await self._tell(None)
