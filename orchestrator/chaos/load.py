"""The load: clients that hand in tasks at a steady pace, ask again when they got no answer, and never give up early.

Every task has an idempotency key, and what is asked again is the same body under the same key. A few are asked again
although they were answered, as clients do that forget.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from orchestrator.chaos.history import History, Phase, Record
from orchestrator.chaos.system import TOKEN
from orchestrator.clock import SystemClock

_CLIENTS = 6
_LARGEST_GROUP = 40
_PATIENCE_SECONDS = 10.0
_WISH_SECONDS = 0.2
_FORGETFUL = 0.02
_KEPT = (200, 201, 202)
_TOO_MANY = 429
_PRIORITIES = (0, 2, 5, 7, 9)

Task = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Groups:
    """What is handed in: `tasks` of them, drawn by the seed, in groups of one or of some."""

    seed: int
    tasks: int
    lease_seconds: float
    others: Mapping[str, bytes]
    """Payloads by type, of the user's own handlers: every second task is one of theirs."""

    def __iter__(self) -> Iterator[list[Task]]:
        chance = random.Random(f"load {self.seed}")  # noqa: S311 - to be repeated, not secret
        made = 0
        while made < self.tasks:
            size = 1 if chance.random() < 0.5 else chance.randint(2, _LARGEST_GROUP)
            group = [self._task(chance, made + place) for place in range(min(size, self.tasks - made))]
            made += len(group)
            yield group

    def _task(self, chance: random.Random, number: int) -> Task:
        task: Task = {"idempotency_key": f"chaos-{self.seed}-{number}", "priority": chance.choice(_PRIORITIES)}
        if self.others and number % 2:
            kind = chance.choice(sorted(self.others))
            return task | {"type": kind, "payload": orjson.Fragment(self.others[kind])}
        hold_ms = 2.0 * 400.0 ** chance.random()
        if chance.random() < 0.003:
            hold_ms = 1500 * self.lease_seconds
        payload = {
            "hold_ms": round(hold_ms, 1),
            "stumbles": int(chance.random() < 0.03),
            "steps": 2 if chance.random() < 0.1 else 0,
        }
        return task | {"type": "chaos", "payload": payload}


class Load:
    """`run` returns after `finish`, when every task was answered for good; or soon after `give_up`."""

    def __init__(
        self, groups: Groups, urls: Sequence[str], history: History, wishes: deque[Task], *, lasting_seconds: float
    ) -> None:
        """`wishes` are tasks that come before all others, without a key; the others are spread over that time."""
        self._groups = iter(groups)
        self._seed = groups.seed
        self._urls = urls
        self._history = history
        self._wishes = wishes
        self._per_second = groups.tasks / lasting_seconds
        self._clock = SystemClock()
        self._chance = random.Random(f"clients {groups.seed}")  # noqa: S311 - jitter
        self._answered: set[str] = set()
        self._wished = 0
        self._sent = 0
        self._began_at = 0.0
        self._finishing = False
        self._given_up = False
        self.waits_ms: list[float] = []
        """How long each request took, answered or not."""

    @property
    def accepted(self) -> int:
        return len(self._answered)

    async def run(self) -> None:
        self._began_at = self._clock.monotonic()
        async with asyncio.TaskGroup() as clients:
            for number in range(_CLIENTS):
                clients.create_task(self._client(number))

    def finish(self) -> None:
        """There are no more wishes: end when everything is handed in."""
        self._finishing = True

    def give_up(self) -> None:
        self._given_up = True

    async def _client(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        async with httpx2.AsyncClient(headers=headers, timeout=_PATIENCE_SECONDS, trust_env=False) as http:
            while (group := await self._next()) is not None:
                await self._hand_in(http, number, group)
                if self._chance.random() < _FORGETFUL:
                    await self._hand_in(http, number, group)

    async def _hand_in(self, http: httpx2.AsyncClient, number: int, group: list[Task]) -> None:
        turn = number
        while group and not self._given_up:
            group = await self._send(http, self._urls[turn % len(self._urls)], f"client-{number}", group)
            turn += 1
            if group:
                await asyncio.sleep(0.1 + 0.4 * self._chance.random())

    async def _next(self) -> list[Task] | None:
        """The next group when its time has come, a wish at once; None at the end."""
        while not self._given_up:
            if self._wishes:
                self._wished += 1
                return [{"idempotency_key": f"wish-{self._seed}-{self._wished}", **self._wishes.popleft()}]
            group = next(self._groups, None)
            if group is not None:
                due = self._began_at + self._sent / self._per_second
                self._sent += len(group)
                await asyncio.sleep(max(0.0, due - self._clock.monotonic()))
                return group
            if self._finishing:
                return None
            await asyncio.sleep(_WISH_SECONDS)
        return None

    async def _send(self, http: httpx2.AsyncClient, url: str, name: str, group: list[Task]) -> list[Task]:
        """Ask once; return what has to be asked again."""
        keys = [task["idempotency_key"] for task in group]
        self._note(name, "invoke", keys)
        path, body = ("/tasks", group[0]) if len(group) == 1 else ("/tasks/batch", {"tasks": group})
        began = self._clock.monotonic()
        try:
            answer = await http.post(f"{url}{path}", content=orjson.dumps(body))
            told = _read(answer, len(group))
        except (httpx2.TransportError, orjson.JSONDecodeError) as error:
            self._note(name, "unknown", keys, reason=type(error).__name__)
            return group
        finally:
            self.waits_ms.append((self._clock.monotonic() - began) * 1000)
        return self._sort_out(name, group, told)

    def _sort_out(self, name: str, group: list[Task], told: Sequence[tuple[int, str]]) -> list[Task]:
        kept: dict[str, str] = {}
        again: list[Task] = []
        for task, (status, text) in zip(group, told, strict=True):
            key = task["idempotency_key"]
            if status in _KEPT:
                kept[key] = text
            elif status >= 500 or status == _TOO_MANY:
                again.append(task)
                self._note(name, "unknown", [key], reason=f"{status} {text}")
            else:
                self._note(name, "fail", [key], reason=f"{status} {text}")
        if kept:
            self._answered.update(kept)
            self._note(name, "ok", list(kept), list(kept.values()))
        return again

    def _note(self, name: str, phase: Phase, keys: Sequence[str], ids: Sequence[str] = (), reason: str = "") -> None:
        at = self._clock.now().timestamp()
        self._history.note(Record(at, name, "submit", phase, tuple(keys), tuple(ids), reason))


def _read(answer: httpx2.Response, count: int) -> list[tuple[int, str]]:
    """The status of each and its task's id, or what is said of one that was not kept."""
    body = orjson.loads(answer.content)
    if "items" in body:
        return [_item(item) for item in body["items"]]
    if answer.status_code in _KEPT:
        return [(answer.status_code, body["id"])]
    return [(answer.status_code, body["detail"])] * count


def _item(item: Mapping[str, Any]) -> tuple[int, str]:
    return item["status_code"], item["task"]["id"] if "task" in item else item["problem"]["detail"]
