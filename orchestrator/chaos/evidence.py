"""What is left after a campaign, collected for the checker: rows, runs, executions, what the workers said."""

from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson

from orchestrator.chaos.checker import Row, RunRow
from orchestrator.chaos.history import Execution, read_sink
from orchestrator.domain.states import State
from orchestrator.ledger.statements import load

_SQL = load("chaos")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Tasks that handlers submitted are left out: no client knows of them."""

    rows: list[Row]
    runs: list[RunRow]
    executions: list[Execution]
    refused_writes: int
    """Results that came too late and were discarded, as far as the workers' logs tell."""


async def collect(session: asyncpg.Connection, sink: Path, logs: list[Path]) -> Evidence:
    """Read everything; the system has drained."""
    tasks = await session.fetch(_SQL["tasks"])
    runs = await session.fetch(_SQL["runs"])
    return Evidence(
        rows=[Row(**{**row, "status": State(row["status"])}) for row in tasks],
        runs=[RunRow(**{**row, "becomes": row["becomes"] and State(row["becomes"])}) for row in runs],
        executions=_executed(sink),
        refused_writes=sum(_refused(log) for log in logs),
    )


def _executed(sink: Path) -> list[Execution]:
    return list(read_sink(sink.read_text().splitlines())) if sink.exists() else []


def _refused(log: Path) -> int:
    refused = 0
    for line in log.read_bytes().splitlines() if log.exists() else ():
        if b"stale_result_discarded" in line:
            refused += len(orjson.loads(line)["task_ids"])
    return refused
