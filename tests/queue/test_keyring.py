"""API keys in Redis: copies may be old, ends are not."""

from datetime import UTC, datetime, timedelta

import pytest_asyncio
from redis.asyncio import Redis

from orchestrator.domain.outbox import Durability
from orchestrator.queue.keyring import REVOKED, Keyring, Remembered
from orchestrator.queue.keys import Keys

NOW = datetime(2026, 11, 20, 9, 0, 0, 5, tzinfo=UTC)
KEY = "abcdefgh"


@pytest_asyncio.fixture
async def keyring(redis_clients: tuple[Redis, Redis]) -> Keyring:
    return Keyring(redis_clients[0], Keys("aurea"))


async def test_what_is_not_known_is_not_known(keyring: Keyring) -> None:
    assert await keyring.look(KEY) == Remembered(None, None)
    assert await keyring.owed() == await keyring.ended() == {}
    assert await keyring.copies(0, 10) == (0, {})


async def test_a_copy_and_an_end_are_read_together(keyring: Keyring) -> None:
    await keyring.remember({KEY: b"a copy"})
    await keyring.end(KEY, NOW)
    assert await keyring.look(KEY) == Remembered(b"a copy", NOW)
    await keyring.remember({KEY: b"another"})  # by who had read the key before
    assert await keyring.look(KEY) == Remembered(b"another", NOW)


async def test_an_end_only_moves_to_earlier(keyring: Keyring) -> None:
    for at, ends in ((NOW, NOW), (NOW + timedelta(seconds=1), NOW), (REVOKED, REVOKED), (NOW, REVOKED)):
        await keyring.end(KEY, at)
        assert (await keyring.look(KEY)).ends_at == ends


async def test_a_revocation_is_owed_until_it_is_paid_and_holds_all_the_while(keyring: Keyring) -> None:
    assert await keyring.revoke(KEY, NOW) == Durability.MEMORY
    await keyring.revoke(KEY, NOW + timedelta(hours=1))
    assert await keyring.owed() == {KEY: NOW}
    assert (await keyring.look(KEY)).ends_at == REVOKED
    await keyring.paid([KEY])
    assert await keyring.owed() == {}
    assert await keyring.ended() == {KEY: REVOKED}
    await keyring.forget([KEY])
    assert await keyring.look(KEY) == Remembered(None, None)


async def test_all_copies_are_gone_through(keyring: Keyring) -> None:
    copies = {f"{number:08}": b"x" * 100 for number in range(2500)}
    await keyring.remember(copies)
    place, seen = 0, {}
    while True:
        place, found = await keyring.copies(place, 100)
        seen |= found
        if not place:
            break
    assert seen == copies
