"""The SQL of the ledger, one file per module of the same name and one statement per method of the same name.

In a file `-- name: <statement>` begins a statement; `{task}`, `{key}` and `{subscription}` stand for the columns that
such a thing is read from, and `{insert}` for the statement `insert` of the same file.
"""

import re
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")
_COLUMNS = {
    "task": """id::text, tenant, type, status::text, queue, priority, payload, result, error, progress, tags, attempt,
  crashes, max_retries, timeout_seconds, idempotency_key, parent_id::text, run_at, expires_at, created_at, started_at,
  finished_at, worker_id, traceparent, cost_usd, fence, callback_url""",
    "key": """id, tenant, name, env, hash, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
  rotated_to""",
    "subscription": """id::text, tenant, url, types, states::text[], description, generation, rotated_at, failures,
  disabled_at, disabled_reason, created_at""",
}
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PART = re.compile(r"\{(task|key|subscription|insert)\}")


def load(stem: str) -> dict[str, str]:
    """Return the statements of `sql/<stem>.sql` by name."""
    _, *blocks = _NAME.split((_FOLDER / f"{stem}.sql").read_text())
    written = {name: sql.strip() for name, sql in zip(blocks[::2], blocks[1::2], strict=True)}
    parts = {**_COLUMNS, "insert": written.get("insert", "")}
    return {name: _PART.sub(lambda part: parts[part[1]], sql) for name, sql in written.items()}
