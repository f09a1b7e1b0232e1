"""Many documents that stream at once in one worker: how long that takes beside the provider's own pace, and its cost.

`python -m bench.streams [STREAMS]`. A stand-in for the provider sends each document in 50 pieces, one every 20 ms, so
that all of them together take one second in the ideal. The worker is the real one, with the provider's own SDK, budget,
events and artifacts; it has written a few documents before, which loads what it needs.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from redis import Redis

from bench.contestants import ROOT, ours
from bench.footprint import cpu_seconds, memory_mb
from bench.measures import Figures
from bench.sink import trace_sink
from bench.stage import Failure, Stage, staged
from orchestrator.embedded.process import launched

STREAMS = 200
TOKENS = 50
GAP_MS = 20
WARM_UP = 10
IDEAL_SECONDS = TOKENS * GAP_MS / 1000
_SPAN = """
select count(*) as written, extract(epoch from max(finished_at) - min(created_at))::float8 as seconds
from (select * from orchestrator_tasks where status = 'succeeded' order by id desc limit $1) as last
"""


def measure(streams: int = STREAMS) -> Figures:
    """Let one worker write this many documents at once. Raises Failure when one is missing."""
    with tempfile.TemporaryDirectory() as home, trace_sink() as sink, _provider() as url:
        contestant = ours(
            MAX_CONCURRENCY=str(streams),
            AUREA_HOME=home,
            ANTHROPIC_API_KEY="none",
            ANTHROPIC_BASE_URL=url,
            AUREA_MODEL_CHAIN="anthropic",
            MODEL_DAILY_BUDGET_USD="1000",
        )
        with staged(contestant, Path(home) / "stage", sink.url) as stage:
            return _measure(stage, streams)


def report(figures: Figures) -> str:
    """The figures in words."""
    return (
        f"{figures['streams']:.0f} documents at once, {TOKENS} pieces each: {figures['stream_seconds']:.2f} s, ideal"
        f" {IDEAL_SECONDS:.2f} s; worker {figures['stream_cpu']:.2f} processor seconds, {figures['stream_mb']:.0f} MB"
    )


def _measure(stage: Stage, streams: int) -> Figures:
    with stage.process("work", "drain") as worker, Redis.from_url(stage.servers.addresses["redis"]) as redis:

        def done() -> bool:
            return not redis.zcard("aurea:pending") and not redis.zcard("aurea:leases")

        stage.ask("write", WARM_UP)
        stage.watch(done, "the worker is warm")
        before = cpu_seconds(worker)
        stage.ask("write", streams)
        stage.watch(done, "every document was written")
        spent, memory = cpu_seconds(worker) - before, memory_mb(worker)
        waiting = redis.xlen("aurea:outbox")
    if waiting:
        raise Failure(f"{waiting} writes went to the outbox: Postgres took too long for this worker")
    span = asyncio.run(_span(stage.servers.addresses["postgres"], streams))
    if span["written"] != streams:
        raise Failure(f"{span['written']} documents were written, not {streams}")
    return {"streams": streams, "stream_seconds": span["seconds"], "stream_cpu": spent, "stream_mb": memory}


async def _span(postgres: str, streams: int) -> dict[str, float]:
    connection = await asyncpg.connect(postgres)
    try:
        return dict(await connection.fetchrow(_SPAN, streams))
    finally:
        await connection.close()


@contextmanager
def _provider() -> Iterator[str]:
    """Serve in a process of its own, so that the worker's processor time is its own."""
    command = [sys.executable, "-m", "bench.provider", str(TOKENS), str(GAP_MS)]
    process = subprocess.Popen(launched(command, signal.SIGKILL), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    print(report(measure(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS)))
