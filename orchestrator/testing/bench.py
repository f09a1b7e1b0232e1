"""The bench of an attempt under test: all memory."""

from collections.abc import Mapping
from typing import NoReturn

import httpx2

from orchestrator.domain.ids import DEFAULT_TENANT, Fence, WorkerId
from orchestrator.domain.task import DEFAULT_QUEUE, Claim, Entry
from orchestrator.sdk import Config
from orchestrator.testing.clock import FakeClock
from orchestrator.testing.outside import Outside
from orchestrator.testing.record import Record
from orchestrator.worker.bench import Bench

MAX_RESULT_BYTES = 2**20
TIMEOUT_SECONDS = 900.0


def claim_of(name: str, payload: bytes, attempt: int, timeout_seconds: float, clock: FakeClock) -> Claim:
    entry = Entry(
        id=clock.task_id(),
        tenant=DEFAULT_TENANT,
        type=name,
        queue=DEFAULT_QUEUE,
        priority=5,
        payload=payload,
        max_retries=6,
        timeout_seconds=timeout_seconds,
        traceparent=clock.traceparent(),
    )
    return Claim(
        entry=entry,
        fence=Fence(attempt),
        attempt=attempt,
        worker=WorkerId("test"),
        claimed_at_us=int(clock.now().timestamp() * 1e6),
        waited_us=0,
        settled_epoch=True,
    )


def bench_of(
    record: Record,
    outside: Outside,
    clock: FakeClock,
    config: Mapping[str, str] | None,
    http: httpx2.AsyncClient | None,
) -> Bench:
    def client() -> httpx2.AsyncClient:
        return http if http is not None else _no_client()

    return Bench(
        clock=clock,
        journal=record,
        steps=record,
        submit=record.submit,
        services=outside,
        http=client,
        config=Config(dict(config or {})),
        max_result_bytes=MAX_RESULT_BYTES,
        token_join_seconds=0.0,
        gather_seconds=0.0,
    )


def _no_client() -> NoReturn:
    raise RuntimeError("the handler calls out: give the test a client, run_task(..., http=httpx2.AsyncClient(...))")
