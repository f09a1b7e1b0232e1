"""How a script can end badly. The class is the type of the task's error; the terminal ones are not tried again."""

from orchestrator.sdk import Terminal


class ScriptFailed(Exception):
    """It left with an exit code, or its engine died. A retry goes on from the last checkpoint."""


class ScriptTimeout(Exception):
    """It took longer than its manifest gives it. A retry goes on from the last checkpoint."""


class OutOfMemory(Exception):
    """It needed more than its manifest gives it. A retry begins with empty memory, at the last checkpoint."""


class PermissionDenied(Terminal):
    """It reached for something that its manifest, the payload or the worker's configuration does not give it."""


class ProtocolBroken(Terminal):
    """It printed a checkpoint, result or failure that cannot be used."""


class BadScript(Terminal):
    """There is no such script, or it or its manifest cannot be read."""
