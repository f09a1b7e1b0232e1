"""What an exception means: whether it is retried, when, and what users read of it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from orchestrator.domain.errors import AddressRefused, NotConfigured, QueueFull, TooLarge
from orchestrator.domain.outcome import Failed
from orchestrator.sdk import Handler, Retry, SyncContext, Terminal, task
from orchestrator.testing import FakeClock
from tests.worker.benches import error_of, lay_bench, run


def raising(make: Callable[[], BaseException]) -> Handler:
    @task("failing")
    async def failing(payload: dict) -> None:
        raise make()

    return failing


def http_error(status: int, **headers: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("GET", "http://example.com")
    return httpx2.HTTPStatusError(
        f"answered {status}", request=request, response=httpx2.Response(status, headers=headers)
    )


class StatusError(Exception):
    """As SDKs make them: the status on the exception itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("refused")
        self.__dict__.update(attributes)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


async def failed(make: Callable[[], BaseException]) -> Failed:
    bench, _ = lay_bench(clock=FakeClock())  # 2026-01-01 00:00:00 UTC
    outcome = await run(raising(make), bench=bench)
    assert isinstance(outcome, Failed)
    return outcome


@pytest.mark.parametrize(
    ("make", "retryable"),
    [
        (lambda: Terminal("no"), False),
        (lambda: Retry("later"), True),
        (lambda: ValueError("a bug"), True),
        (lambda: httpx2.ConnectError("no route"), True),
        (lambda: SystemExit(3), True),
        (lambda: KeyboardInterrupt(), True),
        (lambda: asyncio.CancelledError(), True),
        (lambda: MemoryError(), True),
        (lambda: ExceptionGroup("both", [ValueError("a bug"), Terminal("no")]), False),
        (lambda: ExceptionGroup("both", [ValueError("a bug"), KeyError("b")]), True),
        (lambda: QueueFull("default", 5), True),
        (lambda: TooLarge("the answer", 5), False),
        (lambda: AddressRefused("db", "is private"), False),
        (lambda: NotConfigured("KEY", "to call"), False),
        *[(lambda status=status: http_error(status), True) for status in (408, 425, 429, 500, 502, 503, 504, 599)],
        *[(lambda status=status: http_error(status), False) for status in (400, 401, 403, 404, 409, 422)],
        (lambda: StatusError(status_code=404), False),
        (lambda: StatusError(status=503), True),
        (lambda: StatusError(status="RESOURCE_EXHAUSTED"), True),
        (lambda: StatusError(response=SimpleNamespace(status_code=410)), False),
        (lambda: StatusError(response={"status_code": 410}), True),
        (lambda: StatusError(status=200), True),
    ],
)
async def test_an_exception_decides_whether_a_retry_can_help(make: Callable[[], BaseException], retryable: bool):
    outcome = await failed(make)
    assert outcome.error.retryable is retryable


@pytest.mark.parametrize(
    ("make", "seconds"),
    [
        (lambda: Retry("later", after=30), 30),
        (lambda: Retry("now", after=0), 0),
        (lambda: Retry("sometime"), None),
        (lambda: http_error(429, **{"Retry-After": "7"}), 7),
        (lambda: http_error(503, **{"Retry-After": "Thu, 01 Jan 2026 00:02:00 GMT"}), 120),
        (lambda: http_error(503, **{"Retry-After": "Wed, 31 Dec 2025 00:00:00 GMT"}), 0),
        (lambda: http_error(503, **{"Retry-After": "soon"}), None),
        (lambda: http_error(503, **{"Retry-After": "inf"}), None),
        (lambda: http_error(503, **{"Retry-After": "1e300"}), 604_800),
        (lambda: http_error(503), None),
        (lambda: http_error(404, **{"Retry-After": "7"}), None),
        (lambda: StatusError(status=429, headers={"Retry-After": "9"}), 9),
    ],
)
async def test_the_other_side_says_when_to_come_again(make: Callable[[], BaseException], seconds: float | None):
    assert (await failed(make)).retry_after_seconds == seconds


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf")])
def test_a_retry_that_names_no_time_is_refused(after: float):
    with pytest.raises(ValueError, match="seconds from now"):
        Retry("later", after=after)


async def test_a_plain_handler_cannot_end_the_worker_either():
    @task("leaving")
    def leaving(payload: dict, ctx: SyncContext) -> None:
        raise SystemExit("bye")

    error = await error_of(leaving)
    assert (error.type, error.message, error.retryable) == ("SystemExit", "bye", True)


async def test_a_message_is_cut_and_made_storable():
    assert (await failed(lambda: ValueError("a\0b\ud800"))).error.message == "a\ufffdb?"
    assert (await failed(lambda: ValueError("x" * 5000))).error.message == "x" * 2000 + "… (3000 more characters)"
    assert (await failed(lambda: ValueError())).error.message == "ValueError"
    assert (await failed(lambda: Unprintable())).error.message == "Unprintable"


async def test_failures_with_one_cause_share_a_fingerprint():
    def of(message: str) -> Callable[[], BaseException]:
        return lambda: ValueError(message)

    same = [
        "row 17 of 'a.csv' (01997c0e-0000-7000-8000-000000000001) at 0xdeadbeef, commit 1a2b3c4d5e",
        "row 4 of 'b.csv' (0199ffff-0000-7000-8000-00000000000f) at 0x0, commit ffffff0",
    ]
    first, second, other = [(await failed(of(text))).error.fingerprint for text in [*same, "row 4 is gone"]]
    assert first == second
    assert first != other
    assert first != (await failed(lambda: KeyError(same[0]))).error.fingerprint
    assert len(first) == 16


async def test_the_place_of_a_failure_counts_but_not_its_line():
    def check(early: bool) -> None:
        if early:
            raise ValueError("no")
        raise ValueError("no")

    @task("placed")
    async def placed(payload: dict) -> None:
        if payload["where"] == "here":
            raise ValueError("no")
        check(payload["where"] == "early")

    prints = [
        (await error_of(placed, b'{"where": "%s"}' % where)).fingerprint for where in (b"early", b"late", b"here")
    ]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]
