"""Requests and streams of two tenants at once, cancelled at random moments: `python -m tests.tenants.cancellations`.

Each is served in a task of its own that is cancelled after so many turns of the loop, wherever it stands: waiting for a
connection, for Postgres' answer, for the commit. Whatever arrived by then has to be the asker's own.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from orchestrator.domain.events import EventKind
from orchestrator.domain.ids import Tenant
from orchestrator.ledger.migrate import migrate
from tests.api.door import TOKEN, Door, open_door, say
from tests.conftest import start_servers
from tests.tenants.world import MINE, THEIRS, WORDS, World, populate

_LANES = 24
_MOST_TURNS = 20


@dataclass
class Call:
    """One request, and what came back until it ended or was cancelled."""

    tenant: Tenant
    method: str
    path: str
    expected: int
    body: bytes = b""
    status: int = 0
    received: bytes = b""
    cancelled: bool = False

    @property
    def wrong(self) -> str:
        """What is wrong with the reply; the other one's words are wrong in every reply, and that it is busy in none."""
        other = WORDS[THEIRS if self.tenant == MINE else MINE].encode()
        if other in self.received or self.status not in (0, self.expected, 503):
            return f"{self.tenant} {self.method} {self.path}: {self.status} {self.received[:300]!r}"
        return ""


@dataclass
class Storm:
    world: World
    chance: random.Random
    told: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def blow(self, number: int) -> None:
        """Make so many calls; news of both tenants' tasks come all the while."""
        telling = asyncio.create_task(self._tell())
        calls = iter([self._call() for _ in range(number)])
        await asyncio.gather(*[self._lane(calls) for _ in range(_LANES)])
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling

    def _call(self) -> Call:
        """A call for one's own things, or for the other's; most are cancelled half-way."""
        tenant, other = self.chance.sample([MINE, THEIRS], 2)
        own, theirs = self._tasks(tenant), self._tasks(other)
        state = self.chance.choice(list(own))
        text = orjson.dumps({"type": "greet", "payload": {"text": WORDS[tenant]}})
        return self.chance.choice([
            Call(tenant, "GET", f"/tasks/{own[state]}", 200),
            Call(tenant, "GET", f"/tasks/{theirs[state]}", 404),
            Call(tenant, "GET", "/tasks", 200),
            Call(tenant, "GET", f"/tasks/{own['running']}/logs", 200),
            Call(tenant, "GET", f"/tasks/{theirs['succeeded']}/artifacts", 404),
            Call(tenant, "GET", "/dead", 200),
            Call(tenant, "POST", "/tasks", 201, text),
            Call(tenant, "POST", f"/tasks/{theirs[state]}/cancel", 404),
            Call(tenant, "GET", f"/stream/{own[state]}", 200),
            Call(tenant, "GET", f"/stream/{theirs[state]}", 404),
        ])  # fmt: skip

    def _tasks(self, tenant: Tenant) -> dict[str, str]:
        return dict(self.world.mine if tenant == MINE else self.world.theirs)

    async def _lane(self, calls: Iterator[Call]) -> None:
        for call in calls:
            serving = asyncio.create_task(self._serve(call))
            endless = call.path.startswith("/stream") and call.expected == 200
            if endless or self.chance.random() < 0.85:
                await self._wait(call, endless)
                call.cancelled = serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
            self.told["cancelled" if call.cancelled else "answered"] += 1
            self.told["streams with news"] += endless and b"data:" in call.received
            self.wrong += [call.wrong] if call.wrong else []

    async def _wait(self, call: Call, endless: bool) -> None:
        """Return at a random moment; of a stream also after some news, if there are any."""
        for _ in range(self.chance.randrange(_MOST_TURNS)):
            await asyncio.sleep(0)
        news = self.chance.choice([0, 0, 1, 3]) if endless else 0
        for _ in range(40):
            if call.received.count(b"data:") >= news:
                return
            await asyncio.sleep(0.001)

    async def _serve(self, call: Call) -> None:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"aurea-tenant", call.tenant.encode())]
        if call.body:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(call.body))]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": call.method, "scheme": "http",
            "path": call.path, "raw_path": call.path.encode(), "query_string": b"", "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("aurea.test", 80), "state": {},
        }  # fmt: skip
        sent = iter([{"type": "http.request", "body": call.body, "more_body": False}])

        async def receive() -> dict[str, object]:
            return next(sent, None) or await asyncio.Future()

        async def send(message: dict[str, object]) -> None:
            call.status = message.get("status", call.status)  # type: ignore[assignment]
            call.received += message.get("body", b"")  # type: ignore[operator]

        await self.world.door.app(scope, receive, send)  # type: ignore[arg-type]

    async def _tell(self) -> None:
        number = 2
        while True:
            for tenant, claimed in self.world.running.items():
                said = {"text": WORDS[tenant], "fields": {}}
                await say(self.world.door.runtime, claimed, EventKind.LOG, said, first=number)
            number += 1
            await asyncio.sleep(0.02)


async def stained(door: Door) -> list[object]:
    """The connections of the pool in which anything of a tenant is left."""
    pool = door.runtime.ledger._database._pool
    held = [await pool.acquire() for _ in range(10)]
    state = "select current_user <> session_user or coalesce(current_setting('request.jwt.claims', true), '') <> ''"
    found = [each for each in held if each.is_in_transaction() or await each.fetchval(state)]
    for each in held:
        await pool.release(each)
    return found


async def _main(number: int, seed: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="aurea-cancellations-"))
    servers = start_servers(folder)
    try:
        await migrate(servers.postgres.url)
        async with open_door(servers.postgres.url, servers.valkey.url, aurea_home=folder) as door:
            storm = Storm(await populate(door), random.Random(seed))
            await storm.blow(number)
            left = await stained(door)
        sys.stdout.write(f"{dict(storm.told)}, wrong replies: {storm.wrong}, connections not clean: {len(left)}\n")
        return bool(storm.wrong or left)
    finally:
        servers.valkey.stop()
        servers.postgres.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=18_000, help="about six in ten are cancelled half-way")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sys.exit(asyncio.run(_main(asked.calls, asked.seed)))
