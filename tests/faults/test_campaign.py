"""The campaign, short: 5,000 tasks and 40 faults on a system of its own. The long one is `aurea chaos`."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.chaos.campaign import Campaign, Progress
from orchestrator.chaos.options import Options

pytestmark = pytest.mark.xdist_group("storms")  # one at a time: each keeps all processors busy

SEED = 30
WITHIN_SECONDS = 90


async def test_forty_faults_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    stages: set[str] = set()

    def show(progress: Progress) -> None:
        stages.add(progress.stage)

    async with asyncio.timeout(WITHIN_SECONDS):
        verdict = await Campaign(Options(tmp_path, tasks=5_000, faults=40, seed=SEED), show, said.append).run()
    figures = verdict.figures()
    promised = ("lost", "unexpected", "recorded_twice", "stale_writes_accepted", "keys_with_two_tasks")
    assert {name: figures[name] for name in promised} == dict.fromkeys(promised, 0), (said, verdict.document())
    assert verdict.is_sound, verdict.document()
    assert figures["accepted"] == figures["finished"]
    assert int(figures["accepted"] or 0) >= 5_000
    assert int(figures["faults"] or 0) + sum(verdict.left_out.values()) == 40
    assert stages >= {"starting", "breaking", "judging"}
