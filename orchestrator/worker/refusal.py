"""What the worker refused, on its way into a handler's own process, where it is raised as what it was.

So a handler there catches what it would catch on the worker's loop, finds the same in it, and what it leaves alone is
judged the same. What is no error of ours, a fault inside the worker, arrives as Terminal or AureaError.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from orchestrator.domain.errors import AureaError, Issue
from orchestrator.sdk import Terminal
from orchestrator.worker.failure import is_terminal
from orchestrator.worker.frames import Frame

_READ: dict[str, Callable[[Any], Any]] = {
    "issues": lambda sent: tuple(Issue(**each) for each in sent),
    "known": tuple,
    "resets_at": lambda sent: sent and datetime.fromisoformat(sent),
}
"""The fields that JSON does not give back as they were."""


def write_refusal(error: Exception) -> Frame:
    """Return what `read_refusal` takes, ready to become JSON."""
    if isinstance(error, AureaError):
        return {"refused": str(error), "terminal": is_terminal(error), "code": error.code, "fields": vars(error)}
    return {"refused": f"{type(error).__name__}: {error}", "terminal": is_terminal(error)}


def read_refusal(sent: Frame) -> Exception:
    """Return the exception to raise; its class is the one of ours that has the code."""
    kind = next((kind for kind in _tree(AureaError) if kind.code == sent.get("code")), None)
    if kind is None:
        return (Terminal if sent["terminal"] else AureaError)(sent["refused"])
    error = kind.__new__(kind, sent["refused"])  # not by its __init__, which made the message out of something else
    vars(error).update({name: _READ[name](value) if name in _READ else value for name, value in sent["fields"].items()})
    return error


def _tree(kind: type[AureaError]) -> Iterator[type[AureaError]]:
    """A class comes before those made of it: a handler's own one has the code of its parent."""
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)
