"""Centerpoint scripts as processes: limited in memory and time, and gone when their attempt is."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.centerpoint_sync import centerpoint_sync
from handlers.centerpoint_sync.handler import CenterpointSync
from tests.handlers.centerpoint_scripts import Scripts, Watched

ENDLESS = 'console.log("pid " + Deno.pid); for (;;) {}'
LISTENING = 'console.log("pid " + Deno.pid); for await (const _ of Deno.stdin.readable);'
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def left_of(scripts: Scripts) -> list[str]:
    """The processes that run one of the scripts."""
    shown = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if str(scripts.folder) in line]


@pytest.mark.parametrize(
    "source",
    [
        "const all: number[][] = []; for (;;) all.push(new Array(10_000).fill(all.length + 0.5))",
        "const all: Uint8Array[] = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1))",
        'const all: unknown[] = []; for (;;) all.push(new TextEncoder().encode("x".repeat(1 << 20)).buffer)',
    ],
    ids=["objects", "buffers", "native"],
)
def test_a_memory_bomb_goes_off_in_its_own_process(scripts, source):
    scripts.write(source, "memory_mb = 32")
    run = scripts.run()
    assert (run.error.type, run.error.retryable) == ("OutOfMemory", True)
    assert run.error.message == "script.ts needed more than its 32 MB (memory_mb in script.toml)"
    assert left_of(scripts) == []


def test_the_heap_is_as_large_as_declared(scripts):
    source = 'import { getHeapStatistics } from "node:v8"; console.log(getHeapStatistics().heap_size_limit)'
    assert scripts.result(source, "memory_mb = 64") == 64 * 2**20


def test_a_script_that_does_not_end_is_ended_by_its_own_limit(scripts):
    scripts.write(ENDLESS, "timeout_seconds = 0.3")
    run = scripts.run()
    assert (run.error.type, run.error.retryable) == ("ScriptTimeout", True)
    assert run.error.message == "script.ts did not end within 0.3 s (timeout_seconds in script.toml)"
    assert left_of(scripts) == []


def test_the_timeout_of_the_task_ends_it_too(scripts):
    scripts.write("setInterval(() => {}, 1e6)")
    run = scripts.run(timeout_seconds=0.3)
    assert run.error.type == "timeout"
    assert left_of(scripts) == []


def test_a_script_that_waits_and_ignores_signals_is_ended_as_well(scripts):
    scripts.write('Deno.addSignalListener("SIGTERM", () => {}); setInterval(() => {}, 1e6)', "timeout_seconds = 0.3")
    run = scripts.run()
    assert run.error.type == "ScriptTimeout"
    assert left_of(scripts) == []


async def test_a_cancellation_leaves_nothing_of_the_group_and_no_files(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scripts.write(ENDLESS)
    context = Watched(scripts.config)
    running = asyncio.create_task(centerpoint_sync(CenterpointSync(script="script.ts"), context))
    async with asyncio.timeout(5):
        pid = await context.pid
        assert os.getpgid(pid) == pid
        assert left_of(scripts) != []
        assert [path.name for path in tmp_path.glob("centerpoint-*")] != []
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert left_of(scripts) == []
    assert list(tmp_path.glob("centerpoint-*")) == []


async def test_a_script_dies_with_its_worker(scripts, tmp_path):
    # Only Linux ties a process to its parent; elsewhere the end of its input tells it.
    scripts.write(ENDLESS if sys.platform == "linux" else LISTENING)
    code = f"""
import asyncio
from handlers.centerpoint_sync import centerpoint_sync
from handlers.centerpoint_sync.handler import CenterpointSync
from tests.handlers.centerpoint_scripts import Watched
async def main():
    context = Watched({scripts.config!r})
    running = asyncio.create_task(centerpoint_sync(CenterpointSync(script="script.ts"), context))
    print(await context.pid, flush=True)
    await running
asyncio.run(main())
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=environment
    )
    try:
        assert int(await worker.stdout.readline()) > 0
    finally:
        worker.kill()
        await worker.wait()
    async with asyncio.timeout(5):
        while left_of(scripts):  # noqa: ASYNC110 - another process does not set our events
            await asyncio.sleep(0.02)


def test_a_script_that_is_killed_says_by_what(scripts):
    scripts.write('console.log("pid " + Deno.pid); setInterval(() => {}, 1e6)')

    async def run() -> Exception:
        context = Watched(scripts.config)
        running = asyncio.create_task(centerpoint_sync(CenterpointSync(script="script.ts"), context))
        os.kill(await context.pid, signal.SIGKILL)
        (error,) = await asyncio.gather(running, return_exceptions=True)
        return error

    error = asyncio.run(run())
    assert type(error).__name__ == "ScriptFailed"
    assert re.search("was ended by SIGKILL, which is what the system does when memory runs out", str(error))
