"""What a Redis says of itself, as far as it says anything."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis import Redis as PlainRedis

from orchestrator.domain.errors import RedisEvicts, Unavailable
from orchestrator.embedded.valkey import Valkey
from orchestrator.queue.connect import connect
from orchestrator.queue.server import RedisServer


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[PlainRedis]:
    with PlainRedis.from_url(own_valkey.url) as client:
        yield client


@pytest_asyncio.fixture
async def server(own_valkey: Valkey) -> AsyncIterator[RedisServer]:
    commands, _ = connect(own_valkey.url)
    yield RedisServer(commands)
    await commands.aclose()


async def test_the_embedded_server_keeps_what_it_is_given(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey", tmp_path / "valkey.log", "password")
    valkey.start()
    commands, _ = connect(valkey.url)
    facts = await RedisServer(commands).facts()
    await RedisServer(commands).refuse_eviction()
    await commands.aclose()
    valkey.stop()
    assert (facts.eviction_policy, facts.logs_writes, facts.takes_snapshots) == ("noeviction", True, False)
    assert (facts.mends, facts.loses) == ("", "")
    assert facts.version


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_policy_that_throws_keys_away_is_refused_with_the_one_to_set(
    admin: PlainRedis, server: RedisServer, policy: str
) -> None:
    await server.refuse_eviction()
    admin.config_set("maxmemory-policy", policy)
    with pytest.raises(RedisEvicts, match=rf"{policy}.*set `maxmemory-policy noeviction`"):
        await server.refuse_eviction()
    assert "noeviction" in (await server.facts()).mends


async def test_what_a_restart_would_lose_is_named(admin: PlainRedis, server: RedisServer) -> None:
    assert (await server.facts()).loses.startswith("no persistence")
    admin.config_set("save", "3600 1")
    assert (await server.facts()).loses.startswith("snapshots only")
    admin.config_set("appendonly", "yes")
    assert (await server.facts()).loses == ""
    admin.config_set("appendonly", "no")  # it does not end while it writes its first file


async def test_a_replica_is_named(admin: PlainRedis, server: RedisServer) -> None:
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert (await server.facts()).mends.startswith("it is a replica")


@pytest.mark.parametrize("forbidden", ["-info", "-config", "-info -config -ping"])
async def test_what_a_server_keeps_to_itself_is_unknown_and_no_fault(
    admin: PlainRedis, own_valkey: Valkey, forbidden: str
) -> None:
    admin.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", *forbidden.split())
    commands, _ = connect(own_valkey.url.replace(":valkey-password@", "guest:secret@"))
    server = RedisServer(commands)
    await server.refuse_eviction()
    facts = await server.facts()
    await commands.aclose()
    assert (facts.mends, facts.loses) == ("", "")
    assert facts.takes_snapshots is (False if forbidden == "-info" else None)


async def test_a_server_that_is_gone_is_unavailable(own_valkey: Valkey, server: RedisServer) -> None:
    own_valkey.kill()
    with pytest.raises(Unavailable):
        await server.facts()
    own_valkey.start_again()
    assert (await server.facts()).version
