"""What a simulated process has for connections: the ports of the two stores, each call a pair of messages."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.task import Claim
from orchestrator.queue.port import Popped
from tests.simulation.memory_ledger import memory_ledger
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.stores import PostgresStore, RedisStore
from tests.simulation.witness import Witness


class QueueWire:
    """A process' queue: every method of the memory queue, over the network."""

    def __init__(self, network: Network, process: Process, store: RedisStore, witness: Witness, tell: Any) -> None:
        self._network = network
        self._process = process
        self._store = store
        self._witness = witness
        self._tell = tell
        self._appended = ""

    def __getattr__(self, name: str) -> Any:
        async def act(*arguments: Any, **named: Any) -> Any:
            answer, appended = await self._ask(name, arguments, partial(self._act, name, arguments, named))
            self._appended = max(self._appended, appended)
            self._witness.keys.answer_heard(name, arguments)
            return answer

        self.__dict__[name] = act
        return act

    async def _ask(self, name: str, about: Any, act: Callable[[], Any]) -> Any:
        return await self._network.ask(self._process, self._store, name, about, act)

    def appended(self) -> str:
        """The last record that this process was told is in the outbox."""
        return self._appended

    def _act(self, name: str, arguments: Sequence[Any], named: dict[str, Any]) -> tuple[Any, str]:
        """Let it happen; return the answer, and the place of what it put in the outbox."""
        queue = self._store.queue
        before = queue.appended()
        answer = finished(getattr(queue, name)(*arguments, **named))
        self._witness.queue_answered(name, arguments, answer)
        if name == "drop":
            self._tell({"drop": list(arguments[0])})
        elif name == "resume":
            self._tell({"queue": arguments[0]})
        after = queue.appended()
        return answer, after if after != before else ""

    async def pop(self, queues: Sequence[str], timeout_seconds: float) -> Popped | None:
        return await self._wait("pop", queues, (queues, timeout_seconds))  # type: ignore[no-any-return]

    async def pop_and_claim(
        self, worker: WorkerId, queues: Sequence[str], limit: int, hold_ms: int, timeout_seconds: float
    ) -> tuple[Popped | None, list[Claim]]:
        arguments = (worker, queues, limit, hold_ms, timeout_seconds)
        return await self._wait("pop_and_claim", queues, arguments)  # type: ignore[no-any-return]

    async def _wait(self, name: str, about: Any, arguments: Sequence[Any]) -> Any:
        """The wait is the server's: it goes on when the client is gone, for as long as the connection seems alive."""
        network, process, store = self._network, self._process, self._store
        answer = asyncio.get_running_loop().create_future()

        async def act() -> Any:
            popped = await getattr(store.queue, name)(*arguments)
            self._witness.queue_answered(name, arguments, popped)
            return popped

        def arrive() -> None:
            store.wait(act(), served)

        def served(waiter: asyncio.Task[Any]) -> None:
            popped = None if waiter.cancelled() else waiter.result()
            lost = waiter.cancelled() or network.draws(network.link(process, store).lost_reply)
            network.note(process.name, "popped", popped)
            network.after(network.latency_us(0.0), deliver, popped, lost)

        def deliver(popped: Any, lost: bool) -> None:
            if not answer.done():
                if lost:
                    answer.set_exception(Unavailable("redis"))
                else:
                    answer.set_result(popped)

        await self._ask(name, about, arrive)
        return await answer


def finished(act: Any) -> Any:
    """The answer of a coroutine that never waits."""
    try:
        act.send(None)
    except StopIteration as answer:
        return answer.value
    raise RuntimeError("an act of the memory queue waits")


class PresenceWire:
    """Who leads. Nobody looks at who is there."""

    def __init__(self, network: Network, process: Process, store: RedisStore) -> None:
        self._network = network
        self._process = process
        self._store = store

    async def lead(self, holder: str, hold_ms: int) -> bool:
        act = partial(self._store.lead, holder, hold_ms)
        return await self._network.ask(self._process, self._store, "lead", holder, act)  # type: ignore[no-any-return]

    async def step_down(self, holder: str) -> None:
        act = partial(self._store.step_down, holder)
        await self._network.ask(self._process, self._store, "step_down", holder, act)


class FeedWire:
    """News: nobody listens, but telling them takes its time and fails like everything else."""

    def __init__(self, network: Network, process: Process, store: RedisStore) -> None:
        self._network = network
        self._process = process
        self._store = store

    async def tell(self, events: Sequence[Any]) -> None:
        await self._network.ask(self._process, self._store, "publish", len(events), nothing)

    async def publish_status(self, task_id: TaskId, *_: Any) -> None:
        await self._network.ask(self._process, self._store, "publish_status", task_id, nothing)


def nothing() -> None:
    return


def ledger_wire(network: Network, process: Process, store: PostgresStore, isolated: bool) -> Any:
    """A process' ledger: each statement over the network. An isolated process has no way to Postgres."""

    async def ask(name: str, arguments: tuple[Any, ...], act: Callable[[], Any]) -> Any:
        if isolated:
            raise Unavailable(store.name)
        return await network.ask(process, store, name, arguments, act)

    return memory_ledger(store.tables, ask)


class Broadcast:
    """The control channel: heard by those who are there, mostly."""

    def __init__(self, network: Network, random: Random) -> None:
        self._network = network
        self._random = random
        self.listeners: list[Process] = []

    def __call__(self, message: dict[str, object]) -> None:
        for process in self.listeners:
            if process.alive and process.hear is not None and self._random.random() > 0.1:
                self._network.after(self._network.latency_us(0.05), process.call, process.hear, message)
