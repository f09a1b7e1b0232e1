"""The SQL of the ledger, one file per module of the same name and one statement per method of the same name.

In a file `-- name: <statement>` begins a statement; `{task}` stands for the columns that a Task is read from, and
`{insert}` for the statement `insert` of the same file.
"""

import re
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")
_TASK = """id::text, tenant, type, status::text, queue, priority, payload, result, error, progress, tags, attempt,
  crashes, max_retries, timeout_seconds, idempotency_key, parent_id::text, run_at, expires_at, created_at, started_at,
  finished_at, worker_id, traceparent, cost_usd, fence, callback_url"""
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(stem: str) -> dict[str, str]:
    """Return the statements of `sql/<stem>.sql` by name."""
    _, *blocks = _NAME.split((_FOLDER / f"{stem}.sql").read_text())
    written = {name: sql.strip() for name, sql in zip(blocks[::2], blocks[1::2], strict=True)}
    insert = written.get("insert", "")
    return {name: sql.replace("{task}", _TASK).replace("{insert}", insert) for name, sql in written.items()}
