"""The servers that a measure runs against: this repository's embedded Postgres and Valkey, fresh each time.

Nothing is relaxed: every commit is synced to disk, every Redis write is in the append-only file within a second.
"""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.process import free_port
from orchestrator.embedded.valkey import Valkey


@dataclass(frozen=True)
class Servers:
    """Two running servers: their addresses by name, and their processes."""

    addresses: dict[str, str]
    postgres_pid: int
    valkey_pid: int


@contextmanager
def fresh_servers(folder: Path, traces: str) -> Iterator[Servers]:
    """Start both empty in an empty `folder` and leave all addresses in its `servers.json`; at the end stop them.

    `traces` is where spans may be sent. The folder keeps the logs, not the stores.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    postgres = Postgres(folder / "postgres", folder / "postgres.log", secrets.token_hex())
    valkey = Valkey(folder / "valkey", folder / "valkey.log", secrets.token_hex())
    try:
        postgres.start()
        valkey.start()
        addresses = {
            "postgres": postgres.url,
            "redis": valkey.url,
            "api": f"http://127.0.0.1:{free_port()}",
            "token": secrets.token_hex(),
            "traces": traces,
        }
        (folder / "servers.json").write_text(json.dumps(addresses))
        postmaster = int((postgres.folder / "postmaster.pid").read_text().split()[0])
        with Redis.from_url(valkey.url) as client:
            yield Servers(addresses, postmaster, int(client.info("server")["process_id"]))
    finally:
        valkey.stop()
        postgres.stop()
        for store in (postgres.folder, valkey.folder):
            shutil.rmtree(store, ignore_errors=True)
