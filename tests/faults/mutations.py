"""A campaign that finds nothing may be blind: each mutation takes one safeguard out of a copy of the product.

`python -m tests.faults.mutations` runs a campaign, or one test, on the real processes of each copy, and campaigns on
one that lacks nothing, and prints the table: which promise broke, by what. It takes some minutes.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from unittest.mock import patch

import orjson

from orchestrator.chaos import campaign
from orchestrator.chaos.catalogue import CATALOGUE
from orchestrator.chaos.options import Options
from orchestrator.chaos.verdict import BROKEN_BY

_ROOT = Path(__file__).parents[2]
_PARTS = ("app", "orchestrator", "handlers", "cron", "migrations", "tests")
SEEDS = (1, 2, 3)
_TASKS, _STRIKES, _WORKERS = 1_200, 12, 3
_DRAIN_SECONDS = 40.0
"""A sound system needs a few; one that has forgotten a task needs for ever."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A safeguard, how the source reads without it, and the faults that it is there for."""

    name: str
    file: str
    kept: str
    instead: str
    faults: tuple[str, ...] = ()
    test: str = ""
    """Instead of a campaign, where one hardly ever meets the moment."""


_FENCE = """  where t.fence <= e.fence and t.status < 'succeeded'
    and (t.status = 'running' or t.fence < case when e.ending = 'crashed' then e.run else e.fence end)
"""
_INSERT = "    stored = await runtime.ledger.insert(asked) if asked else []\n"

MUTATIONS = (
    Mutation(
        "the fence check of the ledger",
        "orchestrator/ledger/sql/attempts.sql",
        _FENCE,
        "  where t.status < 'succeeded'\n",
        ("worker_paused", "worker_paused_shortly"),
    ),
    Mutation(
        "the sweep of popped ids",
        "orchestrator/operations/sweep.py",
        "found = await runtime.queue.put_back(BATCH)",
        "found: list[TaskId] = []",
        ("worker_dies_popped", "worker_killed_while_stopped"),
    ),
    Mutation(
        "the comparison of a lease's token",
        "orchestrator/queue/lua/prelude.lua",
        "if holder then return holder == mine end",
        "if holder then return true end",
        test="test_matrix_workers.py::test_an_isolated_worker_that_wakes_up_ends_no_lease_but_its_own",
    ),
    Mutation(
        "the reconciler",
        "orchestrator/operations/rebuild.py",
        "missing = await runtime.queue.missing(ids) if ids else []",
        "missing: list[TaskId] = []",
        ("redis_emptied", "api_dies_inserted"),
    ),
    Mutation(
        "Postgres before Redis when submitting",
        "orchestrator/operations/keep.py",
        _INSERT,
        "    if asked:\n"
        "        await runtime.queue.enqueue([_entry(task) for task in asked], key_holds(asked))\n"
        '        crash.at("inserted")\n' + _INSERT,
        ("api_dies_inserted",),
    ),
)
WHOLE = Mutation("nothing", "", "", "", tuple(sorted({fault for each in MUTATIONS for fault in each.faults})))


def main() -> int:
    """Return 0 when every mutation was missed, and nothing was where nothing is missing."""
    if sys.argv[1:]:
        name, seed = sys.argv[1:]
        sys.stdout.buffer.write(orjson.dumps(asyncio.run(_perform(_named(name), int(seed)))))
        return 0
    _say("| taken away | missed as | by |\n|---|---|---|\n")
    blind = 0
    for mutation in (WHOLE, *MUTATIONS):
        by, broken = search(mutation)
        blind += bool(broken) is (mutation is WHOLE)
        _say(f"| {mutation.name} | {', '.join(broken) or 'nothing'} | {by} |\n")
    return int(blind > 0)


def search(mutation: Mutation) -> tuple[str, list[str]]:
    """Return what missed the safeguard first, and the promises that were broken; else what was last, and nothing."""
    with tempfile.TemporaryDirectory(prefix="aurea-mutation-") as folder:
        tree = _copied(mutation, Path(folder))
        if mutation.test:
            done = _run(tree, "pytest", "-n", "0", "-p", "no:cacheprovider", f"tests/faults/{mutation.test}")
            return mutation.test.rpartition(":")[2], re.findall(r"^E +AssertionError: (.+)$", done.stdout, re.MULTILINE)
        for seed in SEEDS:
            done = _run(tree, "tests.faults.mutations", mutation.name, str(seed))
            if done.returncode:
                raise SystemExit(done.stderr)
            if broken := orjson.loads(done.stdout):
                break
    return f"seed {seed}", [f"{name} {count}" for name, count in broken.items()]


def _run(tree: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-m", module, *arguments], {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def _copied(mutation: Mutation, tree: Path) -> Path:
    for part in _PARTS:
        copytree(_ROOT / part, tree / part, ignore=ignore_patterns("__pycache__", "fixtures"))
    copy(_ROOT / "pyproject.toml", tree)
    if mutation.file:
        source = (tree / mutation.file).read_text(encoding="utf-8")
        if source.count(mutation.kept) != 1:
            raise SystemExit(f"{mutation.name}: {mutation.file} reads otherwise than its mutation expects")
        (tree / mutation.file).write_text(source.replace(mutation.kept, mutation.instead), encoding="utf-8")
    return tree


def _named(name: str) -> Mutation:
    return next(each for each in (WHOLE, *MUTATIONS) if each.name == name)


async def _perform(mutation: Mutation, seed: int) -> dict[str, int]:
    """Run one campaign on the copy that this process was started in; return the promises that it broke."""
    faults = [fault for fault in CATALOGUE if fault.name in mutation.faults]
    with (
        tempfile.TemporaryDirectory(prefix="aurea-mutation-") as folder,
        patch.object(campaign, "_DRAIN_SECONDS", _DRAIN_SECONDS),
    ):
        options = Options(Path(folder), _TASKS, _STRIKES, _WORKERS, seed, catalogue=faults)
        verdict = await campaign.Campaign(options, lambda _: None, lambda _: None).run()
    figures = verdict.figures()
    return {name: int(figures[name] or 0) for name in BROKEN_BY if figures[name]}


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
