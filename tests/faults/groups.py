"""Groups of Redis servers in which one takes over from another: watched by a sentinel, or a cluster of three shards."""

import signal
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError

from orchestrator.chaos.ports import quiet_port
from orchestrator.embedded.process import end, spawn
from orchestrator.embedded.valkey import ENVIRONMENT, Valkey, binary

PASSWORD = "group-password"
WATCHWORD = "sentinel-password"
DOWN_AFTER_MS = 1000
NOWHERE = "127.0.0.1:1"
MEMBER = {"masterauth": PASSWORD, "repl-diskless-sync-delay": "0"}
SHARDS = 3
TAG = "{aurea}"


class Group:
    """Servers of one password; `close` ends them."""

    url: str
    """For our own clients; known when it is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Valkey] = []

    def add(self, **options: str) -> Valkey:
        name = f"redis{len(self.servers)}"
        settings = {each.replace("_", "-"): value for each, value in options.items()}
        server = Valkey(self.folder / name, self.folder / f"{name}.log", PASSWORD, MEMBER | settings)
        server.start(quiet_port())
        self.servers.append(server)
        return server

    def close(self) -> None:
        for server in self.servers:
            server.stop()


class Watched(Group):
    """A primary with one replica, and a sentinel with a password of its own. In the address another one is before it,
    which is not there.
    """

    def open(self) -> None:
        self.primary = self.add()
        self.replica = self.add(replicaof=f"127.0.0.1 {self.primary.port}")
        copied(self.replica)
        self.port = quiet_port()
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {WATCHWORD}\ndir {self.folder}\n"
            f"sentinel monitor orders 127.0.0.1 {self.primary.port} 1\nsentinel auth-pass orders {PASSWORD}\n"
            f"sentinel down-after-milliseconds orders {DOWN_AFTER_MS}\nsentinel failover-timeout orders 5000\n"
        )
        self._sentinel = spawn(
            [binary(), configuration, "--sentinel"],
            death_signal=signal.SIGKILL,
            log=self.folder / "sentinel.log",
            environment=ENVIRONMENT,
        )
        reached(self._knows_both)
        places = f"{NOWHERE},127.0.0.1:{self.port}"
        self.url = f"redis+sentinel://:{PASSWORD}@{places}/orders?sentinel_password={WATCHWORD}"

    def close(self) -> None:
        end(self._sentinel.pid, signal.SIGKILL, process=self._sentinel)
        super().close()

    def _knows_both(self) -> bool:
        with Redis(port=self.port, password=WATCHWORD) as sentinel:
            return sentinel.ping() and len(sentinel.sentinel_slaves("orders")) == 1  # type: ignore[no-any-return]


class Cluster(Group):
    """Three shards; only the one that holds our slot has a replica. In the address is a node that is not there, and one
    of another shard.
    """

    def open(self) -> None:
        buses = [quiet_port() for _ in range(SHARDS + 1)]
        for bus in buses:
            self.add(cluster_enabled="yes", cluster_node_timeout=str(DOWN_AFTER_MS), cluster_port=str(bus))
        *primaries, self.replica = self.servers
        bounds = [REDIS_CLUSTER_HASH_SLOTS * shard // SHARDS for shard in range(SHARDS + 1)]
        ours = next(shard for shard in range(SHARDS) if key_slot(TAG.encode()) < bounds[shard + 1])
        self.primary = primaries[ours]
        self.other = primaries[(ours + 1) % SHARDS]
        for number, server in enumerate(self.servers):
            tell(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < SHARDS:
                tell(server, "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            for peer, bus in zip(self.servers[:number], buses, strict=False):
                tell(server, "CLUSTER", "MEET", "127.0.0.1", peer.port, bus)
        reached(lambda: all(_is_whole(server) for server in self.servers))
        tell(self.replica, "CLUSTER", "REPLICATE", tell(self.primary, "CLUSTER", "MYID"))
        copied(self.replica)
        reached(lambda: self._known_to_all(self.replica))
        self.url = f"redis+cluster://:{PASSWORD}@{NOWHERE},127.0.0.1:{self.other.port}"

    def _known_to_all(self, replica: Valkey) -> bool:
        slots = [tell(server, "CLUSTER", "SLOTS") for server in self.servers]
        return all(replica.port in [node[1] for node in chain(*(shard[2:] for shard in told))] for told in slots)


def tell(server: Valkey, *command: str | int) -> object:
    with Redis.from_url(server.url) as admin:
        return admin.execute_command(*command)


def copied(replica: Valkey) -> None:
    """Return when it holds what its primary does."""
    with Redis.from_url(replica.url) as admin:
        reached(lambda: admin.info("replication").get("master_link_status") == "up")


def process_of(server: Valkey) -> int:
    with Redis.from_url(server.url) as admin:
        return int(admin.info("server")["process_id"])


def is_primary(server: Valkey) -> bool:
    with Redis.from_url(server.url) as admin:
        return bool(admin.info("replication")["role"] == "master")


def reached(holds: Callable[[], bool], seconds: float = 15) -> None:
    patience = time.monotonic() + seconds
    while not _now(holds):
        assert time.monotonic() < patience, holds
        time.sleep(0.02)


def _now(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (OSError, RedisError):  # away, or it cut its clients as it changed its part
        return False


def _is_whole(server: Valkey) -> bool:
    with Redis.from_url(server.url) as admin:
        state = admin.cluster("INFO")
        return bool(state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == SHARDS + 1)
