"""What one attempt tells: numbered in order, tokens joined, handed to the journal.

An attempt numbers its own events under its fence, so nobody is asked. Tokens that arrive close together become one
event; anything else that is told, and the end of the attempt, sends them first, so the order is kept. Secrets are
hidden in what is logged, not in tokens: they are the work itself.
"""

import asyncio
from typing import Any

import orjson

from orchestrator.domain.errors import AttemptEnded
from orchestrator.domain.events import FIRST_TOLD, LAST_TOLD, EventKind, Told
from orchestrator.domain.task import Claim
from orchestrator.telemetry.redaction import conceal, redact
from orchestrator.worker.bench import Bench
from orchestrator.worker.encoding import LONGEST_TEXT, clean, encode_event

_FULL = f"told {LAST_TOLD - FIRST_TOLD} events: whatever else this attempt tells is dropped"


class Telling:
    """Use it on the loop's thread."""

    __slots__ = ("_bench", "_claim", "_closed", "_next", "_timer", "_tokens")

    def __init__(self, claim: Claim, bench: Bench) -> None:
        self._claim = claim
        self._bench = bench
        self._next = FIRST_TOLD
        self._tokens: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def check_open(self) -> None:
        """Raises AttemptEnded."""
        if self._closed:
            raise AttemptEnded(self._claim.entry.id)

    def log(self, text: str, fields: dict[str, Any]) -> None:
        told = encode_event(conceal(fields))
        kept = orjson.Fragment(told) if len(told) <= LONGEST_TEXT else {"dropped": f"{len(told)} bytes of fields"}
        self.tell(EventKind.LOG, encode_event({"text": redact(clean(str(text))), "fields": kept}))

    def progress(self, fraction: float, text: str) -> None:
        within = min(1.0, max(0.0, fraction))
        self.tell(EventKind.PROGRESS, encode_event({"fraction": within, "text": redact(clean(str(text)))}))

    def token(self, text: str) -> None:
        self.check_open()
        self._tokens.append(text)
        wait_seconds = self._bench.token_join_seconds
        if not wait_seconds:
            self._send_tokens()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._send_tokens)

    def drop_tokens(self) -> None:
        """Say that the tokens told so far are to be dropped: another text begins. Raises AttemptEnded."""
        self.tell(EventKind.TOKEN, encode_event({"text": "", "reset": True}))

    def tell(self, kind: EventKind, data: bytes) -> None:
        """Tell one event whose data is JSON. Raises AttemptEnded."""
        self.check_open()
        if self._tokens:
            self._send_tokens()
        self._append(kind, data)

    def close(self) -> None:
        """Send what waits; whatever is told later raises."""
        if self._tokens:
            self._send_tokens()
        self._closed = True

    def _send_tokens(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = "".join(self._tokens)
        self._tokens.clear()
        for start in range(0, len(text), LONGEST_TEXT):
            self._append(EventKind.TOKEN, encode_event({"text": clean(text[start : start + LONGEST_TEXT])}))

    def _append(self, kind: EventKind, data: bytes) -> None:
        if self._next > LAST_TOLD:
            return
        if self._next == LAST_TOLD:
            kind, data = EventKind.LOG, encode_event({"text": _FULL, "fields": {}})
        entry, fence = self._claim.entry, self._claim.fence
        told = Told(entry.id, entry.tenant, fence, self._next, kind, data, self._bench.clock.now())
        self._bench.journal.append(told)
        self._next += 1
