"""Following a task from the command line: its event stream over as many connections as it takes.

A stream that breaks is opened again behind the last event seen, so nothing is missed and nothing is told twice.
The task itself does not depend on anybody following it.
"""

import time
from collections.abc import Iterator
from enum import IntEnum

import httpx2
import orjson

from app.cli.client import Api, at
from app.cli.narration import Narration
from app.cli.screen import complain, note
from app.cli.wording import TaskEvent

PATIENCE_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0)
"""The waits between one broken connection and the next try; starts over with every event."""
NOTHING_MORE = 204
_TRANSIENT = frozenset({429, 502, 503, 504})


class Verdict(IntEnum):
    """Exit codes of a command that waits for a task."""

    SUCCEEDED = 0
    NOT_SUCCEEDED = 3
    INTERRUPTED = 130


def follow(api: Api, task_id: str, narration: Narration, after: str = "") -> Verdict:
    """Tell every event behind `after` until the task ends; Ctrl-C stops the telling and leaves the task running."""
    try:
        with narration:
            for event in events(api, task_id, after):
                narration.tell(event)
                if event.kind == "end":
                    return Verdict.SUCCEEDED if event.data["status"] == "succeeded" else Verdict.NOT_SUCCEEDED
    except KeyboardInterrupt:
        note(f"the task goes on; follow it again: aurea tasks logs {task_id} --follow")
        note(f"to stop it: aurea tasks cancel {task_id}")
    return Verdict.INTERRUPTED


def events(api: Api, task_id: str, after: str = "") -> Iterator[TaskEvent]:
    """Yield events until `end`. Ends the command when the API refuses, or stays away longer than the patience."""
    seen, broken = after, 0
    connected = False
    while True:
        try:
            with api.events(task_id, seen) as source:
                if source.response.status_code == NOTHING_MORE:
                    yield _ended(api, task_id, seen)
                    return
                if source.response.is_success:
                    connected = True
                elif source.response.status_code not in _TRANSIENT or not connected:
                    api.refuse(source.response)
                else:
                    raise httpx2.ReadError(f"it answered {source.response.status_code}")
                for sent in source:
                    if _is_old(sent.id, seen):
                        continue
                    seen, broken = sent.id, 0
                    event = TaskEvent(sent.id, sent.event, orjson.loads(sent.data))
                    yield event
                    if event.kind == "end":
                        return
            reason = "it closed the stream"
        except httpx2.TransportError as error:
            if not connected:
                api.unreachable(error)
            reason = str(error) or type(error).__name__
        broken = _wait(api, task_id, seen, broken, reason)


def _wait(api: Api, task_id: str, seen: str, broken: int, reason: str) -> int:
    """Pause before the next try and return the number of tries; end the command when there were enough."""
    if broken == len(PATIENCE_SECONDS):
        complain(
            f"the stream from {api.url} broke and did not come back: {reason}",
            "the task does not depend on it; pick it up where it stopped:",
            f"aurea tasks logs {task_id} --follow" + (f" --after {seen}" if seen else ""),
        )
    if broken == 1:  # the first reconnect is silent: it is what a rolling restart looks like
        note(f"the stream broke ({reason}); trying again")
    time.sleep(PATIENCE_SECONDS[broken])
    return broken + 1


def _ended(api: Api, task_id: str, seen: str) -> TaskEvent:
    task = api.get(at("tasks", task_id))
    return TaskEvent(seen, "end", {"status": task["status"], "error": task["error"]})


def _is_old(place: str, seen: str) -> bool:
    return place.isdigit() and seen.isdigit() and int(place) <= int(seen)
