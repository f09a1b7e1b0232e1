"""One of the two walls taken down: the filters in our statements, or row level security in Postgres."""

import importlib
import re
from pathlib import Path

import pytest

from orchestrator.ledger import database
from orchestrator.ledger.statements import load

_SQL = Path(database.__file__).with_name("sql")
_FILTER = re.compile(r"(?:\b\w+\.)?\btenant = (\$\d+)::text")
_ROW = re.compile(r"\(t\.tenant, t\.status, t\.id\) (<|>=) \((\$\d+)::text, wanted\.state, (\$\d+)::uuid\)")
_OF_THE_SYSTEM = {"note_warning"}
"""They are given a tenant by a worker's own bookkeeping, not by who asks."""


def without_filters(sql: str) -> str:
    """A statement whose conditions on the tenant are all true."""
    sql = _ROW.sub(r"(\2::text is not null and (t.status, t.id) \1 (wanted.state, \3::uuid))", sql)
    return _FILTER.sub(r"\1::text is not null", sql)


def take_filters(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Take every filter out of the ledger's statements; return the names of those that had one."""
    taken = set()
    for stem in sorted(path.stem for path in _SQL.glob("*.sql")):
        for name, sql in load(stem).items():
            bare = without_filters(sql)
            if bare != sql and name not in _OF_THE_SYSTEM:
                statements = importlib.import_module(f"orchestrator.ledger.{stem}")._SQL
                monkeypatch.setitem(statements, name, bare)
                taken.add(f"{stem}.{name}")
    return taken


def take_row_level_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Postgres show everything to whoever answers a tenant."""
    monkeypatch.setattr(database, "_APP_ROLE", "postgres")
