"""The models of a process: how they are configured, whom a request goes to, and what is loaded when."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.domain.errors import InvalidInput, NotConfigured
from orchestrator.inspection import inspect
from orchestrator.models import chain
from orchestrator.models.access import Access
from orchestrator.models.asking import Heard
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault, Kind
from orchestrator.models.models import Models, open_models
from orchestrator.settings import Settings, read_settings
from orchestrator.testing import FakeClock
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.openai import FakeOpenAI
from tests.fakes.replies import Says
from tests.models.conftest import ask

ROOT = Path(__file__).parents[2]


def models(entries: tuple[str, ...] = chain.PROVIDERS, **given: str) -> Models:
    """`anthropic="key"`, `openai_url="http://..."`."""
    accesses = [
        Access(name, f"{name}-1", SecretStr(given[name]) if name in given else None, given.get(f"{name}_url"))
        for name in chain.PROVIDERS
    ]
    return open_models(accesses, entries, None, FakeClock())


def test_a_chain_names_providers_and_models():
    configured = {"anthropic": "claude", "openai": "gpt"}
    read = chain.read(("openai:llama3.2:3b", "anthropic", "anthropic:claude", "openai"), configured)
    assert [str(candidate) for candidate in read] == ["openai:llama3.2:3b", "anthropic:claude", "openai:gpt"]


def test_a_provider_that_does_not_exist_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AUREA_MODEL_CHAIN", "anthropic, openia:gpt-6")
    with pytest.raises(InvalidInput) as refusal:
        read_settings(_env_file=None)
    (issue,) = refusal.value.issues
    assert issue.pointer == "AUREA_MODEL_CHAIN"
    assert "no provider 'openia'; there are: anthropic, openai, gemini" in issue.detail


def test_those_without_a_key_are_passed_over():
    assert models(openai="k", gemini="k").candidates(ask()) == (
        Candidate("openai", "openai-1"), Candidate("gemini", "gemini-1"),
    )  # fmt: skip
    assert models(("gemini", "anthropic:big"), anthropic="k").candidates(ask()) == (Candidate("anthropic", "big"),)


def test_a_server_of_ones_own_needs_no_key_in_openais_place_alone():
    found = models(openai_url="http://localhost:11434/v1", anthropic_url="http://localhost:1").candidates(ask())
    assert [candidate.provider for candidate in found] == ["openai"]


def test_a_request_by_name_takes_the_model_it_names():
    assert models(openai="k").candidates(ask(provider="openai", model="m")) == (Candidate("openai", "m"),)
    assert models(openai="k").candidates(ask(provider="openai")) == (Candidate("openai", "openai-1"),)
    with pytest.raises(InvalidInput, match="without its provider"):
        models(openai="k").candidates(ask(model="m"))
    with pytest.raises(NotConfigured, match="GEMINI_API_KEY"):
        models(openai="k").candidates(ask(provider="gemini"))


async def test_a_compatible_server_is_spoken_to_by_chat_completions(openai: FakeOpenAI):
    opened = models(openai_url=openai.base_url)
    openai.wants_key = False
    try:
        answer = await opened.ask(Candidate("openai", "llama3.2:3b"), ask(), Heard())
    finally:
        openai.wants_key = True
        await opened.close()
    assert answer.text == "All is well."
    assert openai.asked[0].path == "/v1/chat/completions"


async def test_a_key_that_is_none_blots_nothing_out(openai: FakeOpenAI):
    opened = models(openai_url=openai.base_url)
    try:
        with pytest.raises(Fault, match="401: invalid_api_key: Incorrect API key provided: none"):
            await opened.ask(Candidate("openai", "llama3.2:3b"), ask(), Heard())
    finally:
        await opened.close()


def test_openai_itself_wants_a_key():
    assert models(openai="k", openai_url="https://eu.api.openai.com/v1").candidates(ask())
    with pytest.raises(NotConfigured, match="OPENAI_API_KEY"):
        models(openai_url="https://eu.api.openai.com/v1").candidates(ask(provider="openai"))


async def test_the_time_of_a_try_is_for_the_whole_answer(anthropic: FakeAnthropic):
    opened = models(anthropic=anthropic.key, anthropic_url=anthropic.url)
    anthropic.will(Says("x" * 1000, piece=1, pause_seconds=0.02))
    heard = Heard()
    with pytest.raises(Fault, match=r"within 0\.1 s") as fault:
        await opened.ask(Candidate("anthropic", "claude-sonnet-5-5"), ask(timeout_seconds=0.1), heard)
    await opened.close()
    assert fault.value.kind is Kind.SLOW
    assert heard.words


async def test_one_client_is_opened_however_many_ask_first(anthropic: FakeAnthropic):
    opened = models(anthropic=anthropic.key, anthropic_url=anthropic.url)
    candidate = Candidate("anthropic", "claude-haiku-5-5")
    await asyncio.gather(*(opened.ask(candidate, ask(), Heard()) for _ in range(5)))
    provider = opened._opened["anthropic"].provider
    await opened.close()
    assert provider is not None
    assert provider._http.is_closed  # type: ignore[attr-defined]


def test_no_sdk_is_loaded_before_it_is_used():
    code = "import sys, orchestrator.wiring, orchestrator.operations.generate; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(shown.stdout.split())
    assert "orchestrator.models.models" in loaded
    assert loaded.isdisjoint({"anthropic", "openai", "google.genai", "genai_prices", "cryptography.hazmat"})


async def found(**given: object) -> dict[str, str]:
    """What `aurea check` says about models; problems in capitals."""
    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    names = ("AUREA_MODEL_CHAIN", "AUREA_PRICES", "ANTHROPIC_MODEL", "OPENAI_MODEL", "GEMINI_MODEL")
    return {
        finding.subject if finding.is_well else f"{finding.subject}!": finding.detail
        for finding in await inspect(settings)
        if finding.subject in names
    }


async def test_the_check_names_what_is_wrong_with_the_models(tmp_path: Path):
    assert await found() == {}
    assert await found(openai_api_key="k") == {"AUREA_MODEL_CHAIN": "models: openai:gpt-6.1-sol"}
    lonely = await found(openai_api_key="k", aurea_model_chain="openai,gemini:gemini-4-argon")
    assert "gemini:gemini-4-argon has no key: set GEMINI_API_KEY" in lonely["AUREA_MODEL_CHAIN!"]
    unpriced = await found(openai_base_url="http://localhost:11434/v1", openai_model="llama3.2:3b")
    assert 'under [openai."llama3.2:3b"]' in unpriced["OPENAI_MODEL!"]
    assert (
        "claude-9" in (await found(anthropic_api_key="k", aurea_model_chain="anthropic:claude-9"))["AUREA_MODEL_CHAIN!"]
    )
    prices = tmp_path / "prices.toml"
    prices.write_text('[openai."llama3.2:3b"]\ninput = 0\noutput = 0\n')
    priced = {"openai_base_url": "http://localhost:11434/v1", "openai_model": "llama3.2:3b", "aurea_prices": prices}
    assert await found(**priced) == {"AUREA_MODEL_CHAIN": "models: openai:llama3.2:3b"}
    prices.write_text("[openai")
    assert "it is not TOML" in (await found(**priced))["AUREA_PRICES!"]


async def test_silence_counts_against_a_provider_and_haste_does_not(
    anthropic: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
):
    opened = models(anthropic=anthropic.key, anthropic_url=anthropic.url)
    kinds = []
    for longest_silence in (0.05, 10):
        monkeypatch.setattr("orchestrator.models.models.SILENT_SECONDS", longest_silence)
        anthropic.will(Says("late", silent_seconds=30))
        with pytest.raises(Fault) as fault:
            await opened.ask(Candidate("anthropic", "claude-sonnet-5-5"), ask(timeout_seconds=0.05), Heard())
        kinds.append(fault.value.kind)
    await opened.close()
    assert kinds == [Kind.SILENT, Kind.SLOW]
