"""The ledger in Postgres: what is true.

Each statement is one transaction, may be run again when its commit is unknown, and raises Unavailable while Postgres
is away. Each aspect is a file: `submission`, `attempts`, `history`, `moves`, `reading`, `upkeep`.
"""

import asyncpg

from orchestrator.ledger.attempts import Attempts
from orchestrator.ledger.database import Database
from orchestrator.ledger.history import History
from orchestrator.ledger.moves import Moves
from orchestrator.ledger.reading import Reading
from orchestrator.ledger.submission import Existing, Inserted, Submission
from orchestrator.ledger.upkeep import Upkeep

__all__ = ["Existing", "Inserted", "PostgresLedger"]


class PostgresLedger(Submission, Attempts, History, Moves, Reading, Upkeep):
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._database = Database(pool)
