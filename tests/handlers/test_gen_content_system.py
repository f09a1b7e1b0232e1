"""gen_content on the whole system: a real worker, the provider's own SDK, a fake provider, real stores."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.operations import artifact
from orchestrator.operations.submit import Intake
from orchestrator.settings import Settings
from orchestrator.wiring import open_runtime
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.replies import Says
from tests.worker.conftest import House

TEXT = "# Otters\n\nThey hold hands while they sleep."


@pytest.fixture
def anthropic() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
async def house(database_url: str, redis_url: str, tmp_path: Path, anthropic: FakeAnthropic) -> AsyncIterator[House]:
    settings = Settings(
        _env_file=None,
        aurea_home=tmp_path,
        database_url=database_url,
        redis_url=redis_url,
        anthropic_api_key=anthropic.key,
        anthropic_base_url=anthropic.url,
    )
    async with open_runtime(settings, "worker") as runtime:
        intake = Intake(runtime)
        intake.start()
        yield House(runtime, intake, redis_url)
        await intake.stop()


async def test_a_document_is_streamed_paid_for_and_stored(house: House, anthropic: FakeAnthropic) -> None:
    anthropic.will(Says(f"```markdown\n{TEXT}\n```", input_tokens=1000, output_tokens=100))
    task = await house.submit("gen_content", {"template": "article", "variables": {"topic": "otters"}})
    async with house.worker():
        story = await house.story(task)
    ended = await house.ended(task)
    assert ended.status is State.SUCCEEDED, ended.error
    assert "".join(event.data["text"] for event in story if event.kind is EventKind.TOKEN).count(TEXT) == 1
    assert ended.result["text"] == TEXT
    assert ended.result["usage"]["output_tokens"] == 100
    assert ended.result["cost_usd"] > 0
    assert ended.cost_usd == pytest.approx(ended.result["cost_usd"])
    [kept] = await house.runtime.ledger.artifacts(DEFAULT_TENANT, task.id, None, 10)
    assert (kept.file.id, kept.name) == (ended.result["artifact"]["id"], "article.md")
    reading = await artifact.read(house.runtime, kept)
    assert b"".join([piece async for piece in reading.chunks]).decode() == TEXT
    [asked] = anthropic.asked
    assert "Topic: otters" in str(asked.json["messages"])
    assert "experienced writer" in str(asked.json["system"])
