"""Following a task from the command line: its event stream over as many connections as it takes.

A stream that breaks is opened again behind the last event seen, so nothing is missed and nothing is told twice.
Where streams are switched off, the log is looked up each second, and the end told all the same.
The task itself does not depend on anybody following it.
"""

import time
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import httpx2
import orjson

from app.cli.client import Api, at
from app.cli.narration import Narration
from app.cli.screen import complain, note
from app.cli.wording import TaskEvent
from orchestrator.domain.states import FINAL

PATIENCE_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0)
"""The waits between one broken connection and the next try; starts over with every event."""
LOOK_SECONDS = 1.0
NOTHING_MORE = 204
_NOT_FOUND = 404
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
                if source.response.status_code == _NOT_FOUND and not connected:
                    break  # the task, or all streams
                connected = _admitted(api, source.response, connected)
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
    yield from _looked_up(api, task_id, seen)


def _admitted(api: Api, response: httpx2.Response, connected: bool) -> bool:
    """Return True for a stream that is open. Raises httpx2.ReadError when the next try may find one."""
    if not response.is_success:
        if response.status_code not in _TRANSIENT or not connected:
            api.refuse(response)
        raise httpx2.ReadError(f"it answered {response.status_code}")
    return True


def told(api: Api, task_id: str, after: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log behind `after`, as the API gives them."""
    while True:
        page = api.get(at("tasks", task_id, "logs"), {"after": after or None, "limit": 200})
        yield from page["items"]
        if not page["next_cursor"]:
            return
        after = page["next_cursor"]


def _looked_up(api: Api, task_id: str, seen: str) -> Iterator[TaskEvent]:
    """Yield lines of the log and the end without a stream. Ends the command when there is no such task."""
    task = api.get(at("tasks", task_id))
    note("streams are switched off there (ENABLE_SSE): its log is looked up each second")
    while True:
        for line in told(api, task_id, seen):
            seen = line["id"]
            yield TaskEvent(seen, line["event"], line["data"])
        if task["status"] in FINAL:
            yield TaskEvent(seen, "end", {"status": task["status"], "error": task["error"]})
            return
        time.sleep(LOOK_SECONDS)
        task = api.get(at("tasks", task_id))


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
