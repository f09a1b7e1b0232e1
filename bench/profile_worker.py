"""Where the time of a drain goes: one worker of this system, sampled, and what the servers did for it.

`python -m bench.profile_worker [TASKS]` prints the functions the worker spent its time in, by themselves and with what
they called, then what was asked of Redis and Postgres and the processor time of each process for 1,000 tasks.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
from redis import Redis

from bench.contestants import ours
from bench.measures import drain
from bench.sink import trace_sink
from bench.stage import Stage, staged

SHOWN = 30
_ACTIVITY = """
select d.xact_commit as commits, d.tup_inserted as "rows inserted", d.tup_updated as "rows updated",
  d.tup_fetched as "rows fetched by index", d.tup_returned as "rows read", w.wal_bytes as "bytes of WAL"
from pg_stat_database d, pg_stat_wal w where d.datname = current_database()
"""


def profile(tasks: int) -> str:
    """Drain this many no-ops by a sampled worker and return the report."""
    with tempfile.TemporaryDirectory() as folder, trace_sink() as sink:
        stage_folder = Path(folder) / "stage"
        with staged(ours(), stage_folder, sink.url) as stage:
            return _profile(stage, stage_folder, tasks)


def _profile(stage: Stage, folder: Path, tasks: int) -> str:
    stage.ask("fill", "nothing", tasks)
    before = asyncio.run(_statements(stage.servers.addresses["postgres"]))
    with Redis.from_url(stage.servers.addresses["redis"], decode_responses=True) as redis:
        redis.config_resetstat()
        drained = drain(stage, tasks, workers=1, kind="profile")
        commands: dict[str, Any] = redis.info("commandstats")
    after = asyncio.run(_statements(stage.servers.addresses["postgres"]))
    samples = json.loads((folder / "profile.json").read_text())
    cost = ", ".join(f"{part} {drained.cpu_per_1000(part):.3f}" for part in drained.cpu_seconds)
    blocks = [
        f"{drained.per_second:,.0f} tasks/s while sampled; processor seconds for 1,000 tasks: {cost}",
        _ranking("by themselves", samples["own"], samples["own"]),
        _ranking("with what they called", samples["whole"], samples["own"]),
        _commands(commands, tasks),
        _activity({what: after[what] - before[what] for what in after}, tasks),
    ]
    return "\n\n".join(blocks)


def _ranking(how: str, counts: dict[str, int], own: dict[str, int]) -> str:
    total = sum(own.values())
    lines = [f"{100 * count / total:5.1f} %  {place}" for place, count in Counter(counts).most_common(SHOWN)]
    return "\n".join([f"time of functions {how} ({total} samples):", *lines])


def _commands(stats: dict[str, Any], tasks: int) -> str:
    rows = sorted(stats.items(), key=lambda entry: -entry[1]["usec"])
    lines = [
        f"{1000 * each['calls'] / tasks:8.1f} calls {1000 * each['usec'] / tasks:8.0f} µs  {name.partition('_')[2]}"
        for name, each in rows[:15]
    ]
    return "\n".join(["Redis' commands for 1,000 tasks; `evalsha` includes those that scripts call:", *lines])


def _activity(counts: dict[str, int], tasks: int) -> str:
    lines = [f"{1000 * count / tasks:10,.0f} {what}" for what, count in counts.items()]
    return "\n".join(["Postgres for 1,000 tasks:", *lines])


async def _statements(postgres: str) -> dict[str, int]:
    connection = await asyncpg.connect(postgres)
    try:
        return dict(await connection.fetchrow(_ACTIVITY))
    finally:
        await connection.close()


if __name__ == "__main__":
    print(profile(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
