"""API keys on record. Their hashes are read to recognise callers, and never leave by a list."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from orchestrator.domain.api_key import ApiKey, Minted
from orchestrator.domain.ids import Tenant
from orchestrator.domain.principal import scopes_of
from orchestrator.ledger.database import Database
from orchestrator.ledger.statements import load

_SQL = load("api_keys")


class ApiKeys:
    _database: Database
    _unhurried: Database

    async def add_key(self, key: ApiKey) -> bool:
        """Keep a new key; False when its id is taken."""
        scopes = sorted(key.scopes)
        row = await self._database.of(key.tenant).row(
            _SQL["add_key"],
            key.id, key.tenant, key.name, key.env, key.hash, scopes, key.created_at, key.created_by, key.expires_at,
        )  # fmt: skip
        return row is not None

    async def key(self, key_id: str) -> ApiKey | None:
        """Return the key of this id, whoever's it is."""
        row = await self._database.row(_SQL["key"], key_id)
        return None if row is None else _key_of(row)

    async def keys_of(self, ids: Sequence[str]) -> list[ApiKey]:
        """Return those of these ids that there are."""
        return [_key_of(row) for row in await self._unhurried.rows(_SQL["keys_of"], list(ids))]

    async def keys(self, tenant: Tenant, after: tuple[datetime, str] | None, limit: int) -> list[ApiKey]:
        """Return a tenant's keys, newest first, behind the moment and id `after`."""
        moment, key_id = after or (None, None)
        return [
            _key_of(row) for row in await self._database.of(tenant).rows(_SQL["keys"], tenant, moment, key_id, limit)
        ]

    async def revoke_key(self, tenant: Tenant, key_id: str, at: datetime) -> ApiKey | None:
        """End a key, and return it; one that was revoked before stays as it was. None: the tenant has none."""
        row = await self._database.of(tenant).row(_SQL["revoke_key"], tenant, key_id, at)
        return None if row is None else _key_of(row)

    async def revoke_keys(self, moments: Mapping[str, datetime]) -> None:
        """End keys that were revoked elsewhere at these moments; it may be done again."""
        await self._unhurried.change(_SQL["revoke_keys"], list(moments), list(moments.values()))

    async def rotate_key(
        self, old: ApiKey, minted: Minted, at: datetime, by: str, overlap_ends: datetime, expires_at: datetime | None
    ) -> ApiKey | None:
        """Give a key its successor, and return that; None when it is not good any more, has one, or the id is taken."""
        row = await self._database.of(old.tenant).row(
            _SQL["rotate_key"],
            old.tenant, old.id, minted.id, minted.hash, at, by, overlap_ends, expires_at,
        )  # fmt: skip
        return None if row is None else _key_of(row)

    async def note_use(self, moments: Mapping[str, datetime]) -> None:
        """Remember when keys were last used, to the minute."""
        await self._database.change(_SQL["note_use"], list(moments), list(moments.values()))


def _key_of(row: asyncpg.Record) -> ApiKey:
    """A scope that this version does not know gives nothing."""
    fields: dict[str, Any] = dict(row)
    fields["scopes"] = scopes_of(fields["scopes"])
    return ApiKey(**fields)
