"""Handlers in processes of their own: what they can do, and that nothing of them outlives their attempt."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer

from orchestrator.discovery import Handlers, discover
from orchestrator.domain.errors import InvalidInput, LeaseLost, QueueFull
from orchestrator.domain.events import Told
from orchestrator.domain.outcome import Failed, Outcome, Succeeded
from orchestrator.domain.signing import signature
from orchestrator.sdk import Config
from orchestrator.testing import Logged, Progress
from orchestrator.testing.outside import SIGNER
from orchestrator.testing.record import Record
from orchestrator.worker.bench import Bench
from orchestrator.worker.executor import Executor
from tests.worker import isolated_handlers
from tests.worker.benches import FullJournal, claim, lay_bench

SOURCE = "tests.worker.isolated_handlers"
ROOT = Path(__file__).parents[2]


def executor(bench: Bench) -> Executor:
    handlers = Handlers()
    for value in vars(isolated_handlers).values():
        if getattr(value, "isolation", None) == "process":
            handlers.add(value, SOURCE)
    return Executor(handlers, bench)


async def run(task_type: str, bench: Bench, payload: Any = None, **claimed: Any) -> Outcome:
    return await executor(bench).run(claim(task_type, orjson.dumps(payload or {}), **claimed))


def exists(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(5):
        while any(exists(pid) for pid in pids):  # noqa: ASYNC110 - a process that is no child of ours tells nothing
            await asyncio.sleep(0.01)


class Lingering(Record):
    """Hears the ids of the processes that `iso_linger` started."""

    def __init__(self) -> None:
        super().__init__(lay_bench()[0].clock, {})
        self.pids: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    def append(self, told: Told) -> None:
        self.pids.set_result(orjson.loads(told.data)["fields"]["pids"])


async def test_an_isolated_handler_has_everything_that_others_have():
    bench, record = lay_bench(config=Config({"SECRET": "s3cret"}))
    outcome = await run("iso_work", bench, {"n": 1}, attempt=3)
    assert isinstance(outcome, Succeeded), outcome
    result = orjson.loads(outcome.result)
    pid = result["kept"][0]
    assert pid != os.getpid()
    assert (result["secret"], result["attempt"], result["n"]) == ("s3cret", 3, 1)
    assert record.steps == {"once": [pid], "image": b"\0\xff"}
    assert (record.submitted[0].type, record.submitted[0].payload, record.submitted[0].priority) == (
        "other", {"a": 1}, 2,
    )  # fmt: skip
    assert Logged("working", {"pid": pid}) in record.logs
    assert Logged("printed", {"stream": "stdout"}) in record.logs
    assert Logged("complained", {"stream": "stderr"}) in record.logs
    assert record.progress == [Progress(0.5, "half")]
    assert record.tokens == ["token"]
    again = await run("iso_work", bench, attempt=4)
    assert isinstance(again, Succeeded)
    assert orjson.loads(again.result)["kept"] == [pid, "00ff"]


async def test_an_async_handler_calls_out_through_the_guard_of_its_process(httpserver: HTTPServer):
    httpserver.expect_request("/cat").respond_with_data("meow")
    bench, _ = lay_bench(http_headers=lambda: {"traceparent": "00-a-b-01"}, allow_private=["localhost"])
    payload = {"url": httpserver.url_for("/cat")}
    outcome = await run("iso_async", bench, payload)
    assert isinstance(outcome, Succeeded), outcome
    assert orjson.loads(outcome.result)["text"] == "meow"
    assert orjson.loads(outcome.result)["trace"] == "00-a-b-01"
    refused = await run("iso_async", lay_bench()[0], payload)
    assert isinstance(refused, Failed)
    assert (refused.error.type, refused.error.retryable) == ("AddressRefused", False)


async def test_its_exceptions_are_judged_as_anywhere():
    later = await run("iso_raise", lay_bench()[0], {"how": "retry"})
    assert isinstance(later, Failed)
    assert (later.error.type, later.retry_after_seconds) == ("Retry", 9)
    left = await run("iso_raise", lay_bench()[0], {"how": "exit"})
    assert isinstance(left, Failed)
    assert (left.error.type, left.error.message) == ("SystemExit", "4")


@pytest.mark.parametrize(("how", "words"), [("exit", "exit code 7"), ("segfault", "SIGSEGV")])
async def test_a_child_that_dies_is_a_failed_attempt_that_names_the_cause(how: str, words: str):
    bench, record = lay_bench()
    outcome = await run("iso_die", bench, {"how": how})
    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.error.retryable) == ("process_died", True)
    assert words in outcome.error.message
    assert Logged("about to die", {}) in record.logs


async def test_a_timeout_ends_the_child_and_what_it_started():
    journal = Lingering()
    outcome = await run("iso_linger", lay_bench(journal)[0], timeout_seconds=3.0)
    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.error.retryable) == ("timeout", True)
    await gone(await journal.pids)


async def test_a_cancellation_ends_the_child_and_what_it_started():
    journal = Lingering()
    attempt = asyncio.create_task(run("iso_linger", lay_bench(journal)[0], {"n": "word-of-the-payload"}))
    pids = await journal.pids
    assert all(exists(pid) for pid in pids)
    assert "word-of-the-payload" not in command_line(pids[0])
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await gone(pids)


async def test_what_a_finished_handler_left_running_is_ended():
    journal = Lingering()
    outcome = await run("iso_linger", lay_bench(journal)[0], {"returns": True})
    assert isinstance(outcome, Succeeded)
    await gone(await journal.pids)


async def test_memory_over_the_limit_fails_the_attempt_and_less_does_not():
    enough = await run("iso_eat", lay_bench()[0], {"mb": 32})
    assert isinstance(enough, Succeeded), enough
    outcome = await run("iso_eat", lay_bench()[0], {"mb": 65})
    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.error.retryable) == ("MemoryError", True)
    assert "64 MB" in outcome.error.message


async def test_what_it_prints_is_bounded():
    bench, record = lay_bench()
    outcome = await run("iso_flood", bench)
    assert isinstance(outcome, Succeeded), outcome
    texts = [logged.text for logged in record.logs]
    assert texts[0] == "x" * 4_096
    assert texts[1:1_000] == [str(number) for number in range(999)]
    assert texts[1_000:] == ["printed 1000 lines: the rest is dropped"]


async def test_a_stale_fence_in_the_child_ends_the_attempt_without_an_outcome():
    journal = FullJournal(lay_bench()[0].clock)
    journal.stale = True
    with pytest.raises(LeaseLost):
        await run("iso_work", lay_bench(journal, config=Config({"SECRET": "s"}))[0])


@pytest.mark.parametrize(
    ("error", "retryable"), [(QueueFull("default", 5), True), (InvalidInput("no such type"), False)]
)
async def test_a_refused_submission_reaches_the_handler(error: Exception, retryable: bool):
    class Refusing(Record):
        async def submit(self, *_: Any) -> Any:
            raise error

    outcome = await run("iso_work", lay_bench(Refusing(lay_bench()[0].clock, {}))[0])
    assert isinstance(outcome, Failed)
    assert str(error) in outcome.error.message
    assert outcome.error.retryable is retryable


async def test_a_fault_of_the_bench_fails_the_attempt_and_not_the_worker():
    class Broken(Record):
        def append(self, told: Told) -> None:
            raise LookupError("the journal is broken")

    outcome = await run("iso_work", lay_bench(Broken(lay_bench()[0].clock, {}))[0])
    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.error.retryable) == ("LookupError", True)


async def test_a_handler_that_is_no_longer_there_fails_clearly(tmp_path: Path):
    handlers = Handlers()
    handlers.add(isolated_handlers.eating, str(tmp_path / "gone.py"))
    outcome = await Executor(handlers, lay_bench()[0]).run(claim("iso_eat"))
    assert isinstance(outcome, Failed)
    assert outcome.error.type == "HandlerBroken"
    assert "gone.py" in outcome.error.message


WORKER = """
import asyncio, sys
from tests.worker.test_isolation import Lingering, lay_bench, run

async def work():
    journal = Lingering()
    journal.pids.add_done_callback(lambda pids: print(*pids.result(), flush=True))
    await run(sys.argv[1], lay_bench(journal)[0])

asyncio.run(work())
"""


@pytest.mark.parametrize("task_type", ["iso_linger", "iso_block"])
async def test_a_child_dies_with_its_worker(task_type: str):
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, task_type), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    child, *grandchildren = map(int, (await worker.stdout.readline()).split())
    try:
        worker.kill()
        await worker.wait()
        await gone([child])
    finally:
        for pid in grandchildren:
            os.kill(pid, signal.SIGKILL)


async def test_a_delivery_that_crashed_twice_is_sealed_by_the_worker(httpserver: HTTPServer) -> None:
    """It runs in a process of its own, which never has the master secret."""
    httpserver.expect_request("/hook").respond_with_data("thanks")
    event = {"id": "evt_1", "type": "task.failed", "timestamp": "2026-11-20T10:00:00Z", "data": {"id": "x"}}
    payload = orjson.dumps({"url": httpserver.url_for("/hook"), "event": event})
    suspect = claim("webhook_deliver", payload)
    suspect.entry.crashes = 2
    handlers = discover([])
    bench = lay_bench(allow_private=[f"{httpserver.host}:{httpserver.port}"])[0]
    outcome = await Executor(handlers, bench).run(suspect)
    assert isinstance(outcome, Succeeded)
    ((request, _),) = httpserver.log
    secret = SIGNER.secret("default", "callbacks", 1)
    stamp = request.headers["webhook-timestamp"]
    assert request.headers["webhook-signature"] == signature(secret, "evt_1", stamp, request.get_data())
