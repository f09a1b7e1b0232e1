"""The ledger under test, on a database of its own."""

import asyncpg
import pytest

from orchestrator.ledger.postgres import PostgresLedger


@pytest.fixture
def ledger(pool: asyncpg.Pool) -> PostgresLedger:
    return PostgresLedger(pool)
