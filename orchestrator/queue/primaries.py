"""Where writes go now: the primary behind an address, looked up whenever a connection is opened.

A primary may die, step down, or see its slot move. Whoever hears of it says so here, and the turn ends: connections of
an earlier turn are not used again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio import Connection
from redis.crc import key_slot

from orchestrator.queue.addresses import Endpoint

ASK_SECONDS = 0.4
"""For one sentinel or node: the next one may know as well."""
Line = Callable[[Endpoint], Connection]
"""Makes a connection to an endpoint, not opened yet, to ask there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about the primary, and how the answer is read."""

    words: tuple[str, ...]
    read: Callable[[Any, Endpoint], tuple[Endpoint, Sequence[Endpoint]]]
    """From the answer and the endpoint it came from: the primary, and who else can be asked. Raises ConnectionError."""


class Primary:
    """Without a question: the one server of the address. Its name may lead elsewhere some day."""

    def __init__(self, line: Line, endpoints: Sequence[Endpoint], question: Question | None) -> None:
        self.turn = 0
        self._line = line
        self._given = endpoints
        self._endpoints = deque(endpoints)
        self._question = question
        self._endpoint: Endpoint | None = None
        self._answers = 0
        self._asking = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    def on_turn(self, listener: Callable[[], None]) -> None:
        """Hear that connections so far lead nowhere."""
        self._listeners.append(listener)

    def doubt(self, turn: int) -> None:
        """Say that a connection of this turn led to a server that is not the primary."""
        if turn == self.turn:
            self._endpoints.rotate(-1)  # the one who said so is asked last
            self._end_turn()

    async def find(self) -> Endpoint | None:
        """Return where it is; None: where the address says. Raises ConnectionError when nobody knows.

        One question is under way at a time, whoever waits for its answer; whoever does not answer is asked last.
        """
        if self._question is None:
            return None
        known = self._answers
        async with self._asking:
            if self._answers == known:
                endpoint = await self._ask_around(self._question)
                self._answers += 1
                if endpoint != self._endpoint:
                    self._endpoint = endpoint
                    self._end_turn()
        return self._endpoint

    async def _ask_around(self, question: Question) -> Endpoint:
        reason = "nobody was asked"
        for _ in range(len(self._endpoints)):
            asked = self._endpoints[0]
            self._endpoints.rotate(-1)  # already now: this may be given up while it waits
            try:
                endpoint, others = question.read(await self._ask(asked, question.words), asked)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                reason = f"{asked.host}:{asked.port}: {error or 'no answer in time'}"
            else:
                self._endpoints = deque(dict.fromkeys((asked, *self._given, *others)))
                return endpoint
        raise exceptions.ConnectionError(f"nobody says where the primary is; {reason}")

    async def _ask(self, asked: Endpoint, words: Sequence[str]) -> Any:
        line = self._line(asked)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await line.connect()  # type: ignore[no-untyped-call]
                await line.send_command(*words)
                return await line.read_response()
        finally:
            await line.disconnect(nowait=True)

    def _end_turn(self) -> None:
        self.turn += 1
        for listener in self._listeners:
            listener()


def named(service: str) -> Question:
    """Ask sentinels for the one that they call so."""

    def read(answer: Any, _: Endpoint) -> tuple[Endpoint, Sequence[Endpoint]]:
        if not answer:
            raise exceptions.ConnectionError("it watches no service of this name")
        return Endpoint(answer[0].decode(), int(answer[1])), ()

    return Question(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service), read)


def holding(key: str) -> Question:
    """Ask nodes of a cluster for the one that holds the slot of this key."""
    slot = key_slot(key.encode())

    def read(answer: Any, asked: Endpoint) -> tuple[Endpoint, Sequence[Endpoint]]:
        known = [_node(node, asked) for _, _, *nodes in answer for node in nodes]
        for first, last, primary, *_ in answer:
            if first <= slot <= last:
                return _node(primary, asked), known
        raise exceptions.ConnectionError("it knows no node for the slot of our keys")

    return Question(("CLUSTER", "SLOTS"), read)


def _node(told: Sequence[Any], asked: Endpoint) -> Endpoint:
    """A node without a name listens where the one that was asked does."""
    return Endpoint((told[0] or b"").decode() or asked.host, int(told[1]))
