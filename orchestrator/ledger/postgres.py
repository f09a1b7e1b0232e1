"""The ledger in Postgres: what is true.

Each statement is one transaction, may be run again when its commit is unknown, and raises Unavailable while Postgres
is away or does not answer in time: soon where somebody waits for it, late for the chores that go through many rows.
Each aspect is a file: `submission`, `attempts`, `history`, `moves`, `reading`,
`upkeep`, `relaying`, `waiting`, `spending`, `artifacts`, `deliveries`, `api_keys`, `announcing`, `subscribing`,
`resealing`, `audit`, `profiles`.
"""

import asyncpg

from orchestrator.ledger.announcing import Announcing
from orchestrator.ledger.api_keys import ApiKeys
from orchestrator.ledger.artifacts import Artifacts
from orchestrator.ledger.attempts import Attempts
from orchestrator.ledger.audit import Audit
from orchestrator.ledger.database import UNHURRIED_SECONDS, Database
from orchestrator.ledger.deliveries import Deliveries
from orchestrator.ledger.history import History
from orchestrator.ledger.moves import Moves
from orchestrator.ledger.profiles import Profiles
from orchestrator.ledger.reading import Reading
from orchestrator.ledger.relaying import Relaying
from orchestrator.ledger.resealing import Resealing
from orchestrator.ledger.spending import Spending
from orchestrator.ledger.submission import Existing, Inserted, Submission
from orchestrator.ledger.subscribing import Subscribing
from orchestrator.ledger.upkeep import Upkeep
from orchestrator.ledger.waiting import Waiting

__all__ = ["Existing", "Inserted", "PostgresLedger"]


class PostgresLedger(
    Submission,
    Attempts,
    History,
    Moves,
    Reading,
    Upkeep,
    Relaying,
    Waiting,
    Spending,
    Artifacts,
    Deliveries,
    ApiKeys,
    Announcing,
    Subscribing,
    Resealing,
    Audit,
    Profiles,
):
    def __init__(self, pool: asyncpg.Pool | None) -> None:
        self._database = Database(pool)
        self._unhurried = Database(pool, UNHURRIED_SECONDS)
