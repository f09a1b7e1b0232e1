"""No key shows anywhere: not in an error, not in a log at its most talkative, not in the look of an object."""

import logging
import traceback

import pytest

from orchestrator.clock import SystemClock
from orchestrator.models.asking import Heard
from orchestrator.models.chain import Candidate
from orchestrator.models.faults import Fault
from orchestrator.models.models import open_models
from orchestrator.models.verdict import Trouble, verdict
from orchestrator.settings import Settings
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.openai import FakeOpenAI
from tests.fakes.replies import Fails, FakeModel, Says
from tests.models.conftest import ask

CANARIES = {"anthropic": "sk-ant-canary-A", "openai": "sk-proj-canary-B", "gemini": "AIza-canary-C"}


@pytest.mark.parametrize("is_right", [True, False])
async def test_no_key_shows(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    anthropic: FakeAnthropic,
    openai: FakeOpenAI,
    gemini: FakeGemini,
    is_right: bool,
):
    caplog.set_level(logging.DEBUG)
    fakes: dict[str, FakeModel] = {"anthropic": anthropic, "openai": openai, "gemini": gemini}
    given = {f"{name}_api_key": fake.key if is_right else CANARIES[name] for name, fake in fakes.items()}
    urls = {"anthropic_base_url": anthropic.url, "openai_base_url": openai.base_url, "gemini_base_url": gemini.url}
    settings = Settings(_env_file=None, **given, **urls)  # type: ignore[arg-type]
    models = open_models(settings.model_accesses, settings.aurea_model_chain, None, SystemClock())
    shown = [repr(settings), repr(models), repr(vars(models)), repr(settings.model_accesses)]
    for candidate in models.candidates(ask()):
        key = given[f"{candidate.provider}_api_key"]
        fake = fakes[candidate.provider]
        repeated = f"you sent {key} as the key"
        fake.will(Fails(500, repeated), Fails(403, repeated), Fails(429, repeated), Says("Once more", cut_after=1))
        for _ in range(4):
            with pytest.raises(Fault) as fault:
                await models.ask(candidate, ask(), Heard())
            error = verdict([Trouble(candidate, fault.value)])
            shown += [str(error), repr(error), repr(vars(error)), repr(vars(fault.value))]
            shown += traceback.format_exception(fault.value)
    await models.close()
    out, err = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, out, err])
    assert "[redacted]" in everything
    for key in given.values():
        assert key not in everything


def test_a_candidate_shows_what_it_is():
    assert str(Candidate("openai", "gpt")) == "openai:gpt"
