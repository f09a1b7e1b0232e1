"""Why a script ended badly, in words that say what to do."""

import re
import signal
from collections.abc import Sequence

from handlers.centerpoint_sync.endings import OutOfMemory, PermissionDenied, ScriptFailed
from handlers.centerpoint_sync.manifest import KINDS
from handlers.centerpoint_sync.scripts import Script

_DENIED = re.compile(r'Requires (\w+) access(?: to "([^"]*)")?, run again with the --allow-')
_DENIED_BY_NODE = re.compile(r"permission: '(?:FileSystem)?(\w+)'")
_NO_MEMORY = re.compile(
    r"out of memory|memory allocation of \d+ bytes failed|(Array buffer|Array) allocation failed"
    r"|Unable to grow instance memory",
    re.IGNORECASE,
)
_UNCAUGHT = re.compile(r"(error: |\w*Error\b)")
_LONGEST_REASON = 600


def judge(script: Script, code: int, last_words: Sequence[str], memory_mb: int) -> Exception:
    """Return what the end of a script with an exit code other than 0 means; a negative one is a signal's number."""
    if any(_NO_MEMORY.search(line) for line in last_words):
        return OutOfMemory(f"{script.name} needed more than its {memory_mb} MB (memory_mb in {script.manifest.name})")
    if denied := _denied(last_words):
        return _denial(script, *denied)
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", which is what the system does when memory runs out" if name == "SIGKILL" else ""
        return ScriptFailed(f"the process of {script.name} was ended by {name}{hint}")
    reason = _reason(last_words)
    return ScriptFailed(f"{script.name} left with exit code {code}" + (f": {reason}" if reason else ""))


def _denied(last_words: Sequence[str]) -> tuple[str, str] | None:
    """Return the kind of permission that was missing, and for what."""
    for line in last_words:
        if line.startswith("error:") and (found := _DENIED.search(line)):
            return found[1], found[2] or ""
    text = "\n".join(last_words)
    if "ERR_ACCESS_DENIED" in text and (found := _DENIED_BY_NODE.search(text)):
        resource = re.search(r"resource: '([^']*)'", text)
        return found[1].lower(), resource[1] if resource else ""
    return None


def _denial(script: Script, kind: str, what: str) -> PermissionDenied:
    needed = f"{kind} {what!r}" if what else kind
    if kind not in KINDS:
        return PermissionDenied(f"{script.name} needs {needed}, which no script gets")
    return PermissionDenied(
        f"{script.name} needs {needed}, which it was not given: declare it in {script.manifest.name},"
        f' [permissions] {kind} = ["{what or "..."}"], if neither the payload nor CENTERPOINT_{kind.upper()} forbids it'
    )


def _reason(last_words: Sequence[str]) -> str:
    """Return the line that names the error, else the last one."""
    named = next((line for line in last_words if _UNCAUGHT.match(line)), last_words[-1] if last_words else "")
    return named.removeprefix("error: ")[:_LONGEST_REASON]
