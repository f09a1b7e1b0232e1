"""What the worker refuses reaches a handler in a process of its own as it would on the worker's loop."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from orchestrator.discovery import Handlers
from orchestrator.domain import errors
from orchestrator.domain.errors import AureaError, Issue
from orchestrator.domain.outcome import Failed, Outcome, Succeeded
from orchestrator.sdk import Terminal
from orchestrator.testing.outside import Outside
from orchestrator.testing.record import Record
from orchestrator.worker.executor import Executor
from orchestrator.worker.failure import judge
from orchestrator.worker.refusal import read_refusal, write_refusal
from tests.worker import isolated_handlers
from tests.worker.benches import claim, lay_bench

NOON = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
MONEY: dict[str, Any] = {"limit_usd": 1.0, "spent_usd": 0.5, "reserved_usd": 0.25, "asked_usd": 0.3}
RAISED: list[AureaError] = [
    errors.InvalidInput("the schema is not a JSON Schema", [Issue("/schema", "mend it"), Issue("/a", "")]),
    errors.NotConfigured("ANTHROPIC_API_KEY", "to ask Claude"),
    errors.BudgetExceeded("day", **MONEY, resets_at=NOON),
    errors.ModelUnavailable("no model answered", 7.5),
]
EXAMPLES: list[AureaError] = [
    *RAISED,
    errors.AureaError("strange"),
    errors.InvalidInput("wrong"),
    errors.InvalidId("x"),
    errors.InvalidCursor(),
    errors.UnknownType("x", ["echo", "sleep"]),
    errors.KeyConflict("k", "some-id"),
    errors.TooLarge("the payload", 10),
    errors.ArtifactMissing("some-id", "artifacts"),
    errors.QueueFull("default", 1, 7),
    errors.Forbidden("tasks:write"),
    errors.QuotaExceeded("tasks_per_day", 100, None, 7),
    errors.RateLimited("tenant", 600, 3),
    errors.BudgetExceeded("task", **MONEY, resets_at=None),
    errors.ModelRefused("anthropic", "claude-x", "content", "it refused to answer"),
    errors.ModelMalformed("no usable answer"),
    errors.ModelUnavailable("no model answered"),
    errors.PriceUnknown("openai", "gpt-x"),
    errors.AddressRefused("10.0.0.1", "is not a public address"),
    errors.RedisEvicts("allkeys-lru"),
    errors.SealBroken("payload", "task some-id"),
    errors.SealKeyMissing("k1"),
    errors.StoreRefused("artifacts", "403"),
    errors.Unavailable("postgres", 3),
    errors.LeaseLost("some-id", 7),
    errors.AttemptEnded("some-id"),
]


def tree(kind: type[AureaError]) -> set[type[AureaError]]:
    return {kind}.union(*map(tree, kind.__subclasses__()))


def arrived(error: Exception) -> Exception:
    return read_refusal(orjson.loads(orjson.dumps(write_refusal(error))))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: error.code)
def test_an_error_of_ours_arrives_as_it_was(error: AureaError) -> None:
    there = arrived(error)
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))
    handler = isolated_handlers.asking
    assert judge(there, handler, NOON) == judge(error, handler, NOON)


def test_every_error_that_carries_something_is_tried_above() -> None:
    assert {kind for kind in tree(AureaError) if "__init__" in vars(kind)} <= {type(error) for error in EXAMPLES}


def test_a_handler_s_own_error_takes_no_code_from_ours() -> None:
    class Mine(errors.Unavailable):
        """Of a module that the child loaded."""

    assert type(arrived(errors.Unavailable("postgres"))) is errors.Unavailable


@pytest.mark.parametrize(("strange", "kind"), [(LookupError("a fault"), AureaError), (Terminal("no use"), Terminal)])
def test_a_stranger_arrives_by_its_name_and_as_terminal_as_it_was(strange: Exception, kind: type[Exception]) -> None:
    there = arrived(strange)
    assert (type(there), str(there)) == (kind, f"{type(strange).__name__}: {strange}")


async def outcome_of(error: Exception, *, isolated: bool = True, **payload: str) -> Outcome:
    """What `iso_ask` comes to when the model's answer is this error."""
    bench, record = lay_bench()
    bench = replace(bench, services=Outside(record, bench.clock, [error.with_traceback(None)]))
    handlers = Handlers()
    asking = isolated_handlers.asking
    handlers.add(asking if isolated else replace(asking, isolation=None), isolated_handlers.__name__)
    return await Executor(handlers, bench).run(claim("iso_ask", orjson.dumps(payload)))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: error.code)
async def test_a_handler_catches_it_by_its_class_with_all_that_it_carries(error: AureaError) -> None:
    outcome = await outcome_of(error, catches=type(error).__name__)
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.result == orjson.dumps([type(error).__name__, str(error), vars(error)])


@pytest.mark.parametrize("error", RAISED, ids=lambda error: error.code)
async def test_left_alone_it_is_judged_as_on_the_worker_s_loop(error: AureaError) -> None:
    on_loop = await outcome_of(error, isolated=False)
    assert isinstance(on_loop, Failed)
    assert await outcome_of(error) == on_loop


async def test_a_refused_call_stands_in_its_place() -> None:
    class Refusing(Record):
        async def submit(self, *asked: Any) -> Any:
            raise errors.UnknownType("one", ["echo"])

    handlers = Handlers()
    handlers.add(isolated_handlers.calling, isolated_handlers.__name__)
    bench, _ = lay_bench(Refusing(lay_bench()[0].clock, {}))
    outcome = await Executor(handlers, bench).run(claim("iso_call"))
    assert isinstance(outcome, Succeeded), outcome
    assert orjson.loads(outcome.result) == ["UnknownType", "UnknownType"]
