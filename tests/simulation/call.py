"""One request and its answer, on their way between a process and a store."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import Unavailable
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.network import Network, Store

TIMEOUT_US = 2_000_000
"""How long a process waits for an answer."""


class Call:
    """Sent once; what becomes of it is drawn at each of its stages."""

    __slots__ = ("_about", "_act", "_link", "_network", "_process", "_store", "_what", "answer")

    def __init__(
        self,
        network: Network,
        process: Process,
        store: Store,
        what: str,
        about: Any,
        act: Callable[[], Any],
        answer: Future[Any],
    ) -> None:
        self._network = network
        self._process = process
        self._store = store
        self._what = what
        self._about = about
        self._act = act
        self._link = network.link(process, store)
        self.answer = answer

    def send(self) -> None:
        network, link = self._network, self._link
        if network.draws(network.crash_chance):
            self._crash("killed before")
            return
        if link.cut or network.draws(link.lost_request):
            network.after(network.latency_us(0.3), self._fail, "request lost")
            return
        delay_us = network.latency_us(link.late)
        if delay_us >= TIMEOUT_US:
            network.after(TIMEOUT_US, self._fail, "timed out")
        network.after(delay_us, self._arrive)

    def _arrive(self) -> None:
        network, link = self._network, self._link
        if self._store.hung:
            network.hold(self._arrive)
            network.after(TIMEOUT_US, self._fail, "timed out")
            return
        if self._store.away:
            network.after(network.latency_us(0.0), self._fail, "refused")
            return
        network.note(self._process.name, self._what, self._about)
        network.effects += 1
        failure, result = None, None
        try:
            result = self._act()
        except Exception as error:  # noqa: BLE001 - the store's answer
            failure = error
        if network.draws(network.crash_chance):
            self._crash("killed after")
        if link.cut or network.draws(link.lost_reply):
            network.after(network.latency_us(0.3), self._fail, "reply lost")
            return
        network.after(network.latency_us(link.late), self._deliver, result, failure)

    def _deliver(self, result: Any, failure: Exception | None) -> None:
        network = self._network
        if self.answer.done() or not self._process.alive:
            return
        network.note(self._process.name, f"{self._what} answered", result if failure is None else failure)
        if failure is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(failure)

    def _fail(self, how: str) -> None:
        if not self.answer.done() and self._process.alive:
            self._network.note(self._process.name, f"{self._what} failed", how)
            self.answer.set_exception(Unavailable(self._store.name))

    def _crash(self, when: str) -> None:
        if self._process.alive:
            self._network.note(self._process.name, f"{when} {self._what}", None)
            self._network.crash(self._process)
