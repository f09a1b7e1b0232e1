"""A context in the hands of a test."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from orchestrator.sdk import Call
from orchestrator.testing.bench import TIMEOUT_SECONDS, bench_of, claim_of
from orchestrator.testing.clock import FakeClock
from orchestrator.testing.outside import Outside, Script
from orchestrator.testing.record import Answer, Record
from orchestrator.worker.calls import Calls
from orchestrator.worker.context import AttemptContext


class FakeContext(AttemptContext):
    """A context for calling an async handler directly, so that its exceptions reach the test.

    What the handler did stands in `record` (logs, progress, tokens, steps, submitted) and in `outside` (artifacts,
    requests to models, locks that are held).
    """

    def __init__(
        self,
        *,
        attempt: int = 1,
        steps: Mapping[str, Any] | None = None,
        config: Mapping[str, str] | None = None,
        http: httpx2.AsyncClient | None = None,
        clock: FakeClock | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        children: Mapping[str, Answer] | None = None,
        models: Script = (),
    ) -> None:
        clock = clock or FakeClock()
        self.record = Record(clock, steps or {}, children)
        self.outside = Outside(self.record, clock, models)
        bench = bench_of(self.record, self.outside, clock, config, http)
        super().__init__(claim_of("fake", b"{}", attempt, timeout_seconds, clock), bench)
        self._calls = _EndedCalls(self.record, clock)


class _EndedCalls(Calls):
    """Children end at once, and time passes at once."""

    def __init__(self, record: Record, clock: FakeClock) -> None:
        self._record = record
        self._clock = clock

    async def call(self, calls: Sequence[Call]) -> list[Any]:
        return [self._record.call(call) for call in calls]

    async def sleep(self, seconds: float, name: str | None) -> None:
        self._clock.advance(seconds)
