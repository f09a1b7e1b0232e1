"""Which models there are to ask: the providers, and the chain that `auto` follows.

A chain is written as `anthropic,openai:gpt-6.1-sol`: a provider alone stands for its configured model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROVIDERS = ("anthropic", "openai", "gemini")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model of one provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


def check(entries: Sequence[str]) -> Sequence[str]:
    """Return the entries of a chain; raises ValueError for one whose provider does not exist."""
    for entry in entries:
        _parse(entry)
    return entries


def read(entries: Sequence[str], models: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Return the candidates in order, each once; `models` are the configured ones by provider. Raises ValueError."""
    parsed = [_parse(entry) for entry in entries]
    return tuple(dict.fromkeys(Candidate(provider, model or models[provider]) for provider, model in parsed))


def _parse(entry: str) -> tuple[str, str]:
    provider, _, model = (part.strip() for part in entry.partition(":"))  # a model's name may hold colons itself
    if provider not in PROVIDERS:
        raise ValueError(f"there is no provider {provider!r}; there are: {', '.join(PROVIDERS)}")
    return provider, model
