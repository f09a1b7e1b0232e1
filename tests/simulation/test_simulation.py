"""The product's operations under one seeded scheduler: whatever the seed, every promise is kept."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.domain.errors import Unavailable
from tests.simulation.__main__ import replay
from tests.simulation.campaign import STEPS_PER_RUN, simulate
from tests.simulation.loop import SimulationLoop
from tests.simulation.network import Network, Store
from tests.simulation.process import Process

SEEDS = range(1, 11)
ROOT = Path(__file__).parents[2]


def test_the_default_run_is_two_hundred_thousand_steps() -> None:
    assert len(SEEDS) * STEPS_PER_RUN >= 200_000


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept(seed: int) -> None:
    outcome = simulate(seed)
    broken = [str(violation) for violation in outcome.violations[:5]]
    assert broken == [], "\n".join([*outcome.trace, f"replay: {replay(seed)}"])
    assert outcome.steps >= STEPS_PER_RUN
    assert outcome.accepted > 300
    assert outcome.states["succeeded"] > 100


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    seed, steps = 2, STEPS_PER_RUN // 4
    script = f"from tests.simulation.campaign import simulate; print(simulate({seed}, {steps}).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {f"{simulate(seed, steps).digest}\n"}


class Stage:
    """A loop with one store and what happened at it."""

    def __init__(self) -> None:
        self.loop = SimulationLoop(Random(1))
        self.network = Network(self.loop, Random(1))
        self.process = Process(self.loop, "worker", "worker-1")
        self.store = Store("redis")
        self.seen: list[str] = []

    async def write(self, word: str) -> Any:
        return await self.network.ask(self.process, self.store, "write", word, lambda: self.seen.append(word))

    def play(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.finish, context=self.loop.ground.context)
        self.loop.run()


def test_a_killed_process_runs_no_finally() -> None:
    stage = Stage()

    async def work() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            stage.seen.append("cleaned up")
            await stage.write("cleaned up at the store")

    stage.process.spawn(work())
    stage.network.after(500_000, stage.process.kill)
    stage.network.after(3_000_000, stage.seen.append, "the end")
    stage.play(4)
    assert stage.seen[0] == "the end"  # what the test's own disposal runs comes behind it
    assert "cleaned up at the store" not in stage.seen


def test_a_paused_process_goes_on_where_it_was() -> None:
    stage = Stage()

    async def work() -> None:
        await asyncio.sleep(1)
        stage.seen.append(f"after {stage.loop.time():.0f} s")

    stage.process.spawn(work())
    stage.network.after(500_000, stage.process.pause)
    stage.network.after(5_000_000, stage.process.go_on)
    stage.play(6)
    assert stage.seen == ["after 5 s"]


def test_a_lost_reply_means_that_it_happened() -> None:
    stage = Stage()
    stage.network.link(stage.process, stage.store).lost_reply = 1.0

    async def work() -> None:
        with pytest.raises(Unavailable):
            await stage.write("kept")
        stage.seen.append("told nothing")

    stage.process.spawn(work())
    stage.play(10)
    assert stage.seen == ["kept", "told nothing"]


def test_a_lost_request_means_that_it_did_not() -> None:
    stage = Stage()
    stage.network.link(stage.process, stage.store).lost_request = 1.0

    async def work() -> None:
        with pytest.raises(Unavailable):
            await stage.write("never kept")
        stage.seen.append("told nothing")

    stage.process.spawn(work())
    stage.play(10)
    assert stage.seen == ["told nothing"]


def test_a_store_that_hung_does_what_it_was_asked_meanwhile() -> None:
    stage = Stage()
    stage.store.hung = True

    async def work() -> None:
        with pytest.raises(Unavailable):
            await stage.write("late")
        stage.seen.append("gave up")

    def go_on() -> None:
        stage.store.hung = False
        stage.network.release()

    stage.process.spawn(work())
    stage.network.after(4_000_000, go_on)
    stage.play(10)
    assert stage.seen == ["gave up", "late"]
