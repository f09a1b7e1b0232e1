"""The ledger in Postgres: what is true.

Each statement is one transaction, may be run again when its commit is unknown, and raises Unavailable while Postgres
is away or does not answer in time: soon where somebody waits for it, late for the chores that go through many rows.
Each aspect is a file: `submission`, `attempts`, `history`, `moves`, `reading`,
`upkeep`, `relaying`, `waiting`, `spending`, `artifacts`, `profiles`.
"""

import asyncpg

from orchestrator.ledger.artifacts import Artifacts
from orchestrator.ledger.attempts import Attempts
from orchestrator.ledger.database import UNHURRIED_SECONDS, Database
from orchestrator.ledger.history import History
from orchestrator.ledger.moves import Moves
from orchestrator.ledger.profiles import Profiles
from orchestrator.ledger.reading import Reading
from orchestrator.ledger.relaying import Relaying
from orchestrator.ledger.spending import Spending
from orchestrator.ledger.submission import Existing, Inserted, Submission
from orchestrator.ledger.upkeep import Upkeep
from orchestrator.ledger.waiting import Waiting

__all__ = ["Existing", "Inserted", "PostgresLedger"]


class PostgresLedger(
    Submission, Attempts, History, Moves, Reading, Upkeep, Relaying, Waiting, Spending, Artifacts, Profiles
):
    def __init__(self, pool: asyncpg.Pool | None) -> None:
        self._database = Database(pool)
        self._unhurried = Database(pool, UNHURRIED_SECONDS)
