"""The four ways to a model, each against a fake of its provider that speaks HTTP."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from orchestrator.models.anthropic import Anthropic
from orchestrator.models.asking import Answer, Heard, Provider
from orchestrator.models.faults import Fault
from orchestrator.models.gemini import Gemini
from orchestrator.models.openai import OpenAI
from orchestrator.models.openai_compatible import OpenAICompatible
from orchestrator.sdk import Message, ModelRequest, Tool
from orchestrator.testing import FakeClock
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.gemini import FakeGemini
from tests.fakes.openai import FakeOpenAI
from tests.fakes.replies import FakeModel

READ = Tool(
    "read_file",
    "Reads a file.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


def ask(text: str = "Say hello.", **given: object) -> ModelRequest:
    return ModelRequest(messages=(Message("user", text),), **{"timeout_seconds": 5.0, **given})  # type: ignore[arg-type]


@dataclass
class Way:
    """One provider's adapter, and the fake at its other end."""

    name: str
    provider: Provider
    fake: FakeModel
    model: str

    async def ask(self, request: ModelRequest, heard: Heard | None = None) -> Answer:
        return await self.provider.ask(self.model, request, heard or Heard())

    async def fault(self, request: ModelRequest, heard: Heard | None = None) -> Fault:
        with pytest.raises(Fault) as raised:
            await self.ask(request, heard)
        return raised.value


@pytest.fixture(scope="session")
def _anthropic() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as fake:
        yield fake


@pytest.fixture(scope="session")
def _openai() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture(scope="session")
def _gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake


@pytest.fixture
def anthropic(_anthropic: FakeAnthropic) -> FakeAnthropic:
    _anthropic.forget()
    return _anthropic


@pytest.fixture
def openai(_openai: FakeOpenAI) -> FakeOpenAI:
    _openai.forget()
    return _openai


@pytest.fixture
def gemini(_gemini: FakeGemini) -> FakeGemini:
    _gemini.forget()
    return _gemini


def _ways(anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini) -> dict[str, Callable[[], Way]]:
    clock = FakeClock()

    def way(name: str, open_provider: Callable[..., Provider], fake: FakeModel, url: str, model: str) -> Way:
        return Way(name, open_provider(fake.key, url, clock), fake, model)

    return {
        "anthropic": lambda: way("anthropic", Anthropic, anthropic, anthropic.url, "claude-sonnet-5-5"),
        "openai": lambda: way("openai", OpenAI, openai, openai.base_url, "gpt-6.1-sol"),
        "compatible": lambda: way("compatible", OpenAICompatible, openai, openai.base_url, "llama3.2:3b"),
        "gemini": lambda: way("gemini", Gemini, gemini, gemini.url, "gemini-3.8-flash"),
    }


NAMES = ["anthropic", "openai", "compatible", "gemini"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared(_anthropic: FakeAnthropic, _openai: FakeOpenAI, _gemini: FakeGemini) -> AsyncIterator[dict[str, Way]]:
    opened = {name: open_way() for name, open_way in _ways(_anthropic, _openai, _gemini).items()}
    yield opened
    for one in opened.values():
        await one.provider.close()


@pytest_asyncio.fixture(loop_scope="session")
async def every_way(_shared: dict[str, Way]) -> dict[str, Way]:
    """All four, on the session's loop."""
    for one in _shared.values():
        one.fake.forget()
    return _shared


@pytest_asyncio.fixture(loop_scope="session", params=NAMES)
async def way(request: pytest.FixtureRequest, every_way: dict[str, Way]) -> Way:
    """Each of the four in turn, on the session's loop."""
    return every_way[request.param]


@pytest_asyncio.fixture(loop_scope="session", params=NAMES)
async def own_way(
    request: pytest.FixtureRequest, anthropic: FakeAnthropic, openai: FakeOpenAI, gemini: FakeGemini
) -> AsyncIterator[Way]:
    """The same, for this test alone: change it as you like."""
    opened = _ways(anthropic, openai, gemini)[request.param]()
    yield opened
    await opened.provider.close()
