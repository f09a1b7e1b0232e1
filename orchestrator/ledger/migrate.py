"""Migrations: the plain SQL files of `migrations/`, each applied once and in order.

What was applied stands where the Supabase CLI keeps it, so either of the two may apply the next one. Each file is one
transaction, taken under a lock: any number of processes may call at once, and one that dies leaves whole files only.
On a Postgres that is not Supabase's the roles and functions that its policies name are made first.
"""

from pathlib import Path

import asyncpg

from orchestrator.domain.errors import NotStarted, Unavailable
from orchestrator.ledger.database import AWAY
from orchestrator.ledger.statements import load

_SQL = load("migrate")
_FOLDER = Path(__file__).parents[2] / "migrations"
_CONNECT_SECONDS = 10.0


async def migrate(url: str, folder: Path = _FOLDER) -> list[str]:
    """Apply what is missing and return the names of the files applied.

    Raises NotStarted when a file fails (nothing of it is kept), when the database knows a version that has no file or
    when it refuses us, Unavailable when Postgres cannot be reached.
    """
    files = _files(folder)
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS, statement_cache_size=0)
        try:
            applied = []
            while (name := await _apply_next(connection, files)) is not None:
                applied.append(name)
            return applied
        finally:
            await connection.close()
    except AWAY as error:
        raise Unavailable("postgres") from error
    except (asyncpg.PostgresError, ValueError) as error:  # a wrong password or name; a URL that is none
        raise NotStarted(f"the database that DATABASE_URL names cannot be used: {error}") from error


def _files(folder: Path) -> dict[str, Path]:
    """Return the files by version, oldest first."""
    return {path.name.partition("_")[0]: path for path in sorted(folder.glob("*.sql"))}


async def _apply_next(connection: asyncpg.Connection, files: dict[str, Path]) -> str | None:
    """Apply the first file that is missing; None when none is."""
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        await connection.execute(_SQL["prepare"])
        known = {row["version"] for row in await connection.fetch(_SQL["known"])}
        if strange := sorted(known - files.keys()):
            raise NotStarted(
                f"the database has migrations that this version does not know: {', '.join(strange)}; "
                "start the version that made them, or a newer one"
            )
        version = next((version for version in files if version not in known), None)
        if version is None:
            return None
        path = files[version]
        text = path.read_text()
        await connection.execute(_SQL["stand_in"])
        try:
            await connection.execute(text)
        except asyncpg.PostgresError as error:
            raise NotStarted(f"the migration {path.name} failed, nothing of it was kept: {error}") from error
        await connection.execute(_SQL["record"], version, [text], path.stem.partition("_")[2])
        return path.name
