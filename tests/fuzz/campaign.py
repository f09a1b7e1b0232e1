"""Requests made of the served OpenAPI document by schemathesis, against a real server whose tasks end by themselves.

Each answer is held against the document: no 5xx, only the described content types, headers and shapes; what is not
allowed is refused. Phases are examples, coverage (each bound of each schema), fuzzing, and stateful (ids from answers
go into the next requests).
"""

import asyncio
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from orchestrator.domain.ids import WorkerId
from orchestrator.domain.outcome import Failed, Outcome, Succeeded, decide
from orchestrator.domain.retry import RetryPolicy
from orchestrator.domain.subscription import DELIVER, DELIVERIES
from orchestrator.domain.task import TaskError
from orchestrator.operations.pause import resume
from orchestrator.operations.settle import settle
from orchestrator.queue.port import QueuePaused
from orchestrator.runtime import Runtime
from tests.api.door import TOKEN
from tests.api.live_server import Live

WHOLE = {"aurea_signing_secrets": ("a master secret of the tests: fuzzing",)}
"""Settings without which a part of the API answers that it is not configured."""
_WORKER = WorkerId("worker-1")
_CONFIG = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True)
class Report:
    cases: int
    failures: int
    text: str


async def fuzz(live: Live, *, examples: int, seed: int) -> Report:
    """Send up to `examples` for each route and phase; equal seeds make equal requests, as far as answers are equal."""
    work = asyncio.create_task(_end_tasks(live.runtime))
    arguments = [
        *("--config-file", str(_CONFIG), "run", f"{live.http.base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--max-examples", str(examples), "--seed", str(seed)),
        *("--request-timeout", "20", "--continue-on-failure", "--no-shrink", "--warnings", "off"),
        *("--generation-database", "none", "--suppress-health-check", "all"),
    ]
    with tempfile.TemporaryDirectory() as folder:  # where it keeps notes of its own
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", *arguments, cwd=folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await running.communicate()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    text = output.decode()
    counted = re.search(r"(\d+) generated(?:, (\d+) found)?", text)
    assert counted is not None, text
    return Report(int(counted[1]), int(counted[2] or 0) or int(running.returncode != 0), text)


async def _end_tasks(runtime: Runtime) -> None:
    """Be a worker: every second task succeeds, the others become dead letters, so that streams end."""
    number = 0
    while True:
        claims = []
        for queue in ("default", DELIVERIES):
            try:
                claims += await runtime.queue.claim(_WORKER, queue, 20, 60_000)
            except QueuePaused:
                await resume(runtime, queue)
        if claims:
            await runtime.ledger.start(claims)
        for claimed in claims:
            number += 1
            error = TaskError("Boom", "it broke", retryable=False, fingerprint="f-1")
            result = {"status": 200, "answer": ""} if claimed.entry.type == DELIVER else {"n": number}
            outcome: Outcome = Succeeded(orjson.dumps(result)) if number % 2 else Failed(error)
            ending = decide(claimed, outcome, RetryPolicy(max_retries=0), chance=0.5, duration_us=1000)
            await settle(runtime, _WORKER, [ending])
        await asyncio.sleep(0.01)
