"""API keys as their owners handle them: made, listed, rotated, revoked, and brought in step between the two stores.

Nobody gives a key more than he may do himself, or a longer life than his own key has. To make and to rotate one needs
Postgres. To revoke one needs either store: what Postgres has not heard of stands in Redis, and is brought to it.
"""

import secrets
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from orchestrator.domain.api_key import RANDOM_BYTES, ApiKey, Minted, is_key_id, mint
from orchestrator.domain.errors import Conflict, Forbidden, InvalidInput, Issue, NotFound, Unavailable
from orchestrator.domain.ids import Tenant
from orchestrator.domain.outbox import Durability
from orchestrator.domain.principal import GRANTABLE, Kind, Principal, Scope
from orchestrator.operations.key_copy import read_copy, write_copy
from orchestrator.operations.paging import Page, open_cursor, page_of
from orchestrator.operations.standby import leave, told
from orchestrator.queue.keyring import REVOKED
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.api_keys")

BATCH = 500
_FIRST_YEAR, _LAST_YEAR = 2000, 9000
"""A time zone away from the ends of the calendar, where moments cannot be compared."""
_KEPT = timedelta(hours=1)
"""So long after its end a key stays known in Redis: whoever read it before that has long written what he read."""


async def create(
    runtime: Runtime, by: Principal, env: str, name: str, scopes: Collection[Scope], expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """Make a key for the caller's tenant; return it, and its text, which is kept nowhere.

    Raises InvalidInput, Forbidden when the caller has not all of the scopes himself, or Unavailable; the key may exist
    then, and nobody has it.
    """
    now = runtime.clock.now()
    if refused := [
        Issue(f"/scopes/{place}", _grantable()) for place, each in enumerate(scopes) if each not in GRANTABLE
    ]:
        raise InvalidInput(f"scopes cannot be given to a key: {_grantable()}", refused)
    _refuse_more(by, scopes)
    _refuse_longer(by, expires_at, now)
    while True:
        minted = _mint(env)
        key = ApiKey(minted.id, by.tenant, name, env, minted.hash, frozenset(scopes), now, _named(by), expires_at)
        if await runtime.ledger.add_key(key):
            _log.info(
                "key_created",
                key_id=key.id,
                tenant=key.tenant,
                scopes=[scope.value for scope in scopes],
                by=key.created_by,
            )
            return key, minted.text


async def page(runtime: Runtime, tenant: Tenant, cursor: str | None, limit: int) -> Page[ApiKey]:
    """Return a tenant's keys, newest first, those that ended too. Raises InvalidCursor or Unavailable."""
    keys = await runtime.ledger.keys(tenant, open_cursor(cursor, _read_place), limit + 1)
    return page_of(keys, limit, lambda key: f"{key.created_at.isoformat()} {key.id}")


async def rotate(
    runtime: Runtime, by: Principal, key_id: str, overlap_seconds: float, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """Replace a key by a new one, which is returned as by `create`; the old one is good until the overlap ends.

    The new one ends when the old one would have, unless `expires_at` says otherwise. Raises NotFound, Conflict for a
    key that is not good any more or has a successor, Forbidden, InvalidInput or Unavailable.
    """
    old = await _own(runtime, by.tenant, key_id)
    now = runtime.clock.now()
    _refuse_more(by, old.scopes)
    expires_at = expires_at or old.expires_at
    if old.rotated_to is None and old.is_good(now):
        _refuse_longer(by, expires_at, now)
        overlap_ends = now + timedelta(seconds=overlap_seconds)
        minted = _mint(old.env)
        new = await runtime.ledger.rotate_key(old, minted, now, _named(by), overlap_ends, expires_at)
        if new is not None:
            await told(runtime, lambda: runtime.keyring.end(old.id, overlap_ends))
            _log.info("key_rotated", key_id=old.id, to=new.id, tenant=old.tenant, by=_named(by))
            return new, minted.text
    raise Conflict(f"the key {key_id} was revoked, expired or rotated: make a new one, or rotate its successor")


async def revoke(runtime: Runtime, by: Principal, key_id: str) -> tuple[ApiKey, Durability]:
    """End a key, everywhere within five seconds; a second time changes nothing. Returns it, and where that is kept.

    Raises NotFound, or Unavailable when neither store can keep it, or Postgres is away and Redis does not know the key.
    """
    now = runtime.clock.now()
    postgres = runtime.standby.postgres
    if not is_key_id(key_id):
        raise _unknown(key_id)
    revoked: ApiKey | None
    durability = Durability.POSTGRES
    try:
        if postgres.silent:
            raise Unavailable(postgres.name)
        revoked = await runtime.ledger.revoke_key(by.tenant, key_id, now)
    except Unavailable as away:
        leave(runtime, postgres, away)
        revoked, durability = await _revoke_in_redis(runtime, by.tenant, key_id, now)
    if revoked is None:
        raise _unknown(key_id)
    if durability is Durability.POSTGRES:
        await told(runtime, lambda: runtime.keyring.end(key_id, REVOKED))
    _log.info("key_revoked", key_id=key_id, tenant=by.tenant, by=_named(by), durability=durability)
    return revoked, durability


async def bring_revocations(runtime: Runtime) -> int:
    """Bring to Postgres what was revoked while it was away; return how many. Raises Unavailable with nothing lost."""
    owed = await runtime.keyring.owed()
    if owed:
        await runtime.ledger.revoke_keys(owed)
        await runtime.keyring.paid(list(owed))
        _log.info("revocations_brought", key_ids=list(owed)[:20], keys=len(owed))
    return len(owed)


async def compare_copies(runtime: Runtime) -> None:
    """Make the copies in Redis say what Postgres says, and let go of those that ended an hour ago. Raises Unavailable.

    It matters for the next outage: Redis may have been away, or have forgotten, when a key was revoked.
    """
    before = runtime.clock.now() - _KEPT
    owed = await runtime.keyring.owed()
    ended = await runtime.keyring.ended()
    place, more = 0, True
    while more:
        place, copies = await runtime.keyring.copies(place, BATCH)
        ids = [*copies, *ended]
        ended, more = {}, place != 0
        keys = {key.id: key for key in await runtime.ledger.keys_of(ids)}
        over = [
            key_id for key_id in ids if key_id not in owed and (key_id not in keys or _is_over(keys[key_id], before))
        ]
        if over:
            await runtime.keyring.forget(over)
        changed = {each: write_copy(keys[each]) for each in copies if each not in over and each in keys}
        if changed := {each: copy for each, copy in changed.items() if copies[each] != copy}:
            await runtime.keyring.remember(changed)


def _is_over(key: ApiKey, before: datetime) -> bool:
    return min(at for at in (key.revoked_at, key.expires_at, datetime.max.replace(tzinfo=before.tzinfo)) if at) < before


async def _own(runtime: Runtime, tenant: Tenant, key_id: str) -> ApiKey:
    key = await runtime.ledger.key(key_id) if is_key_id(key_id) else None
    if key is None or key.tenant != tenant:
        raise _unknown(key_id)
    return key


async def _revoke_in_redis(
    runtime: Runtime, tenant: Tenant, key_id: str, at: datetime
) -> tuple[ApiKey | None, Durability]:
    copy = (await runtime.keyring.look(key_id)).copy
    if copy is None:
        raise Unavailable("postgres")
    key = read_copy(copy)
    if key.tenant != tenant:
        return None, Durability.REDIS
    return replace(key, revoked_at=key.revoked_at or at), await runtime.keyring.revoke(key_id, at)


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"no key {key_id[:64]}")


def _mint(env: str) -> Minted:
    return mint(env, secrets.token_bytes(RANDOM_BYTES))


def _named(by: Principal) -> str:
    return f"{by.kind}:{by.id}"


def _grantable() -> str:
    return f"use {', '.join(sorted(GRANTABLE))}"


def _refuse_more(by: Principal, scopes: Collection[Scope]) -> None:
    if lacking := sorted(set(scopes) - by.scopes):
        raise Forbidden(lacking[0])


def _refuse_longer(by: Principal, expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("expires_at has passed", [Issue("/expires_at", "give a time to come, or leave it out")])
    if by.kind is Kind.KEY and by.until is not None and (expires_at is None or expires_at > by.until):
        fix = f"give a time until {by.until.isoformat()}, when your own key ends"
        raise InvalidInput("expires_at is behind the end of the key that asks", [Issue("/expires_at", fix)])


def _read_place(text: str) -> tuple[datetime, str]:
    moment, _, key_id = text.partition(" ")
    at = datetime.fromisoformat(moment)
    if at.tzinfo is None or not is_key_id(key_id) or not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError("not where a key stands in the list")
    return at, key_id
