"""What models cost: the data that comes with genai-prices, and over it a file of one's own. Nothing is fetched.

The file is TOML, with dollars for a million tokens:

    [openai."llama3.2:3b"]
    input = 0
    output = 0
    cached = 0         # read from a cache; without it they cost as input
    cache_write = 0    # written to it; likewise
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import NotConfigured, PriceUnknown
from orchestrator.domain.money import NANO
from orchestrator.models.access import Access
from orchestrator.models.chain import PROVIDERS, Candidate
from orchestrator.sdk.model import Usage

if TYPE_CHECKING:  # a tenth of a second to import, and most processes ask no model
    from genai_prices.types import ModelPrice

_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}
"""Our words for a rate, and those of genai-prices."""
_IDS = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs."""

    source: str
    rates: "ModelPrice"

    def cost_nano(self, usage: Usage) -> int:
        """Return what a usage costs in nano-dollars, rounded up."""
        from genai_prices import Usage as Units

        units = Units(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
            cache_write_tokens=min(usage.cache_write_tokens, max(0, usage.input_tokens - usage.cached_tokens)),
        )
        return int((self.rates.calc_price(units)["total_price"] * NANO).to_integral_value(ROUND_CEILING))

    def worst_nano(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that this many tokens can cost: all of the input as it is, or written to the cache."""
        plain = Usage(input_tokens, output_tokens)
        written = Usage(input_tokens, output_tokens, cache_write_tokens=input_tokens)
        return max(self.cost_nano(plain), self.cost_nano(written))

    @property
    def facts(self) -> dict[str, Any]:
        """The price as JSON, to be kept beside what was computed from it; dollars for a million tokens."""
        return {"source": self.source, **{ours: _fact(getattr(self.rates, theirs)) for ours, theirs in _RATES.items()}}


class Prices:
    """Knows the price of every model there is a price for. `base_urls` are those that were set, by provider."""

    def __init__(self, own: Mapping[Candidate, Mapping[str, Decimal]], base_urls: Mapping[str, str]) -> None:
        self._own = own
        self._base_urls = base_urls

    def of(self, candidate: Candidate, now: datetime) -> Price:
        """Return what a model costs at this time. Raises PriceUnknown."""
        from genai_prices.types import ModelPrice

        own = self._own.get(candidate)
        if own is not None:
            return Price("own", ModelPrice(**{_RATES[name]: rate for name, rate in own.items()}))
        url = self._base_urls.get(candidate.provider)
        places = [(None, url)] if url else []  # another vendor may be behind it, whose prices are known, too
        for provider_id, place in [*places, (_IDS[candidate.provider], None)]:
            rates = _known(candidate.model, provider_id, place, now)
            if rates is not None:
                return Price(f"genai-prices {version('genai-prices')}", rates)
        raise PriceUnknown(candidate.provider, candidate.model)


def open_prices(file: Path | None, accesses: Iterable[Access]) -> Prices:
    """Return the prices that hold here. Raises NotConfigured for a file that cannot be read."""
    urls = {access.provider: access.base_url for access in accesses if access.base_url is not None}
    try:
        return Prices(read_own(file) if file is not None else {}, urls)
    except (OSError, ValueError) as error:
        raise NotConfigured("AUREA_PRICES", f"to a file of prices that can be read; {file}: {error}") from None


def read_own(file: Path) -> dict[Candidate, dict[str, Decimal]]:
    """Read the file of one's own prices. Raises OSError, or ValueError saying what is wrong where."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not TOML: {error}") from None
    unknown = tables.keys() - set(PROVIDERS)
    if unknown:
        raise ValueError(f"there is no provider {min(unknown)!r}; there are: {', '.join(PROVIDERS)}")
    return {
        Candidate(provider, model): _rates(f'[{provider}."{model}"]', rates)
        for provider, models in tables.items()
        for model, rates in _table(provider, models).items()
    }


def _rates(place: str, given: Any) -> dict[str, Decimal]:
    rates = _table(place, given)
    missing = {"input", "output"} - rates.keys()
    if missing or rates.keys() - _RATES.keys():
        raise ValueError(f"{place} takes input and output, and if need be cached and cache_write")
    for name, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, int | Decimal) or not Decimal(rate).is_finite() or rate < 0:
            raise ValueError(f"{name} in {place} is not an amount of dollars")
    return {name: Decimal(rate) for name, rate in rates.items()}


def _table(place: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{place} is not a table of models and their prices")
    return given


def _known(model: str, provider_id: str | None, url: str | None, now: datetime) -> "ModelPrice | None":
    """Return what genai-prices knows of text in and out. A price may change with the day, or with the hour."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    try:
        provider = snapshot.find_provider(None, provider_id, url)
    except LookupError:
        return None
    found = provider.find_model(model, all_providers=snapshot.providers)
    rates = found.get_prices(now) if found else None
    return rates if rates and rates.input_mtok is not None and rates.output_mtok is not None else None


def _fact(rate: Any) -> Any:
    """Spell a rate out: one number, or one for each size of the input from which another holds."""
    if rate is None or isinstance(rate, Decimal):
        return None if rate is None else str(rate)
    return {"base": str(rate.base), **{f"above {tier.start}": str(tier.price) for tier in rate.tiers}}
