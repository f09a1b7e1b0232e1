"""Prices and the worst case: exact, on the safe side, and never from the network."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.errors import NotConfigured, PriceUnknown
from orchestrator.models.access import Access
from orchestrator.models.bound import most_input_tokens
from orchestrator.models.chain import Candidate
from orchestrator.models.prices import Price, Prices, open_prices, read_own
from orchestrator.sdk import Message, ModelRequest, ToolCall, ToolResult, Usage
from orchestrator.settings import Settings
from tests.models.conftest import READ

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CLAUDE = Candidate("anthropic", "claude-sonnet-5-5")


def price(provider: str, model: str, now: datetime = NOW, **urls: str) -> Price:
    return Prices({}, urls).of(Candidate(provider, model), now)


def test_a_usage_costs_what_its_parts_cost():
    usage = Usage(1000, 100, cached_tokens=200, cache_write_tokens=300)
    assert (
        price("anthropic", "claude-sonnet-5-5").cost_nano(usage) == 500 * 2000 + 200 * 100 + 300 * 2500 + 100 * 10_000
    )
    assert price("openai", "gpt-6.1-sol").cost_nano(Usage(1000, 100)) == 1000 * 2000 + 100 * 10_000
    assert price("gemini", "gemini-3.8-flash").cost_nano(Usage(1000, 100, 400)) == 600 * 750 + 400 * 75 + 100 * 3750


def test_the_default_models_all_have_a_price():
    for access in Settings(_env_file=None).model_accesses:
        assert price(access.provider, access.model).cost_nano(Usage(1, 1)) > 0


def test_a_price_changes_with_the_day_and_with_the_size():
    before, after = (price("gemini", "gemini-3.8-flash", day) for day in (NOW, datetime(2027, 1, 2, tzinfo=UTC)))
    assert after.cost_nano(Usage(1000)) == 2 * before.cost_nano(Usage(1000))
    sol = price("openai", "gpt-6.1-sol")
    assert sol.cost_nano(Usage(300_000)) == 2 * 300_000 * 2000


def test_what_a_fraction_of_a_nano_dollar_costs_is_rounded_up():
    assert Prices({Candidate("openai", "x"): {"input": Decimal("0.0001"), "output": Decimal(0)}}, {}).of(
        Candidate("openai", "x"), NOW
    ).cost_nano(Usage(1)) == 1  # fmt: skip


@pytest.mark.parametrize("model", ["llama3.2:3b", "gpt-7", "", "whisper-1", "text-embedding-3-small"])
def test_a_model_without_a_price_for_text_is_named_with_the_file(model: str):
    with pytest.raises(PriceUnknown, match=r'AUREA_PRICES names, under \[openai\."'):
        price("openai", model)


def test_another_vendor_behind_openais_address_has_its_own_prices():
    theirs = price("openai", "openai/gpt-oss-120b", openai="https://api.groq.com/openai/v1")
    assert theirs.cost_nano(Usage(1000, 1000)) > 0
    assert price("openai", "gpt-6.1-sol", openai="http://127.0.0.1:1/v1").cost_nano(Usage(1)) == 2000


def test_ones_own_prices_win(tmp_path: Path):
    file = tmp_path / "prices.toml"
    file.write_text(
        '[openai."llama3.2:3b"]\ninput = 0\noutput = 0\n'
        "[anthropic.claude-sonnet-5-5]\ninput = 1.5\noutput = 9\ncached = 0.1\n"
    )
    prices = open_prices(file, [Access("anthropic", "m")])
    assert prices.of(Candidate("openai", "llama3.2:3b"), NOW).cost_nano(Usage(10**6, 10**6)) == 0
    own = prices.of(CLAUDE, NOW)
    assert own.cost_nano(Usage(1000, 0, cached_tokens=400)) == 600 * 1500 + 400 * 100
    assert own.facts == {"source": "own", "input": "1.5", "output": "9", "cached": "0.1", "cache_write": None}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[openai\n", "not TOML"),
        ("[ollama.x]\ninput = 1\noutput = 1", "no provider 'ollama'"),
        ("[openai.x]\ninput = 1", "takes input and output"),
        ("[openai.x]\ninput = 1\noutput = 1\nthinking = 2", "takes input and output"),
        ("[openai.x]\ninput = -1\noutput = 1", "input in .* is not an amount"),
        ("[openai.x]\ninput = inf\noutput = 1", "is not an amount"),
        ('[openai.x]\ninput = "1"\noutput = 1', "is not an amount"),
        ("openai = 3", "not a table"),
        ("[openai]\nx = 3", "not a table"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_wrong(tmp_path: Path, text: str, says: str):
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_own(file)
    with pytest.raises(NotConfigured, match="set AUREA_PRICES"):
        open_prices(file, [])
    with pytest.raises(NotConfigured, match="AUREA_PRICES"):
        open_prices(tmp_path / "none.toml", [])


@settings(max_examples=40)
@given(
    read=st.integers(0, 400_000),
    share=st.floats(0, 1),
    said=st.integers(0, 10_000),
    most=st.integers(0, 100_000),
    model=st.sampled_from([CLAUDE, Candidate("openai", "gpt-6.1-sol"), Candidate("gemini", "gemini-3.8-flash")]),
)
def test_no_usage_within_the_bound_costs_more_than_the_worst_case(
    read: int, share: float, said: int, most: int, model: Candidate
):
    of = Prices({}, {}).of(model, NOW)
    cached = int(read * share)
    for usage in (Usage(read, said, cached), Usage(read, said, 0, cached), Usage(read, said, cached, read - cached)):
        assert of.cost_nano(usage) <= of.worst_nano(read + most, said)


def test_the_bound_counts_everything_that_is_sent():
    call = ToolCall("c1", "read_file", {"path": "ü" * 100}, {"words": ["w" * 10_000]})
    turns = (
        Message("user", "🙂" * 10),
        Message("assistant", tool_calls=(call,)),
        Message("user", tool_results=(ToolResult("c1", "r" * 500),)),
    )
    plain = ModelRequest(messages=(Message("user", ""),))
    full = ModelRequest(messages=turns, system="s" * 200, tools=(READ,), schema={"description": "d" * 300})
    sent = 40 + 100 * 6 + 10_000 + 500 + 200 + len(READ.description) + 300
    assert sent < most_input_tokens(full) - most_input_tokens(plain) < sent + 4000
