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

from orchestrator.queue.addresses import Place

ASK_SECONDS = 0.4
"""For one sentinel or node: the next one may know as well."""
Line = Callable[[Place], Connection]
"""Makes a connection to a place, not opened yet, to ask there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about the primary, and how the answer is read."""

    words: tuple[str, ...]
    read: Callable[[Any, Place], tuple[Place, Sequence[Place]]]
    """From the answer and the place it came from: the primary, and who else can be asked. Raises ConnectionError."""


class Primary:
    """Without a question: the one server of the address. Its name may lead elsewhere some day."""

    def __init__(self, line: Line, places: Sequence[Place], question: Question | None) -> None:
        self.turn = 0
        self._line = line
        self._given = places
        self._places = deque(places)
        self._question = question
        self._place: Place | None = None
        self._answers = 0
        self._asking = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    def on_turn(self, listener: Callable[[], None]) -> None:
        """Hear that connections so far lead nowhere."""
        self._listeners.append(listener)

    def doubt(self, turn: int) -> None:
        """Say that a connection of this turn led to a server that is not the primary."""
        if turn == self.turn:
            self._places.rotate(-1)  # the one who said so is asked last
            self._end_turn()

    async def find(self) -> Place | None:
        """Return where it is; None: where the address says. Raises ConnectionError when nobody knows.

        One question is under way at a time, whoever waits for its answer; a place that does not answer is asked last.
        """
        if self._question is None:
            return None
        known = self._answers
        async with self._asking:
            if self._answers == known:
                place = await self._ask_around(self._question)
                self._answers += 1
                if place != self._place:
                    self._place = place
                    self._end_turn()
        return self._place

    async def _ask_around(self, question: Question) -> Place:
        reason = "nobody was asked"
        for _ in range(len(self._places)):
            asked = self._places[0]
            self._places.rotate(-1)  # already now: this may be given up while it waits
            try:
                place, others = question.read(await self._ask(asked, question.words), asked)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                reason = f"{asked.host}:{asked.port}: {error or 'no answer in time'}"
            else:
                self._places = deque(dict.fromkeys((asked, *self._given, *others)))
                return place
        raise exceptions.ConnectionError(f"nobody says where the primary is; {reason}")

    async def _ask(self, asked: Place, words: Sequence[str]) -> Any:
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

    def read(answer: Any, _: Place) -> tuple[Place, Sequence[Place]]:
        if not answer:
            raise exceptions.ConnectionError("it watches no service of this name")
        return Place(answer[0].decode(), int(answer[1])), ()

    return Question(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service), read)


def holding(key: str) -> Question:
    """Ask nodes of a cluster for the one that holds the slot of this key."""
    slot = key_slot(key.encode())

    def read(answer: Any, asked: Place) -> tuple[Place, Sequence[Place]]:
        known = [_node(node, asked) for _, _, *nodes in answer for node in nodes]
        for first, last, primary, *_ in answer:
            if first <= slot <= last:
                return _node(primary, asked), known
        raise exceptions.ConnectionError("it knows no node for the slot of our keys")

    return Question(("CLUSTER", "SLOTS"), read)


def _node(told: Sequence[Any], asked: Place) -> Place:
    """A node without a name listens where the one that was asked does."""
    return Place((told[0] or b"").decode() or asked.host, int(told[1]))
