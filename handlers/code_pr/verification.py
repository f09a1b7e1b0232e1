"""The check in a conversation: run for the files as they are, shown to the model, and asked before its work is taken.

Each run is a durable step, and there is none for files that were checked already.
"""

from collections.abc import Sequence
from typing import Any

from handlers.code_pr.check import run_check
from handlers.code_pr.payload import CodeChange
from handlers.code_pr.workspace import Change, Mistake, WorkingCopy
from orchestrator.sdk import Context


class Verification:
    """The check of one working copy; without one in the payload, all work is taken."""

    def __init__(self, ctx: Context, payload: CodeChange, copy: WorkingCopy) -> None:
        self.outcome: dict[str, Any] | None = None
        """Of the newest run: `exit_code` and `output`."""
        self._ctx = ctx
        self._payload = payload
        self._copy = copy
        self._runs = 0
        self._checked: list[Change] | None = None
        self._shown: list[Change] | None = None
        """The changes for which the model has seen the outcome."""

    async def show(self) -> str:
        """Return the outcome for the files as they are, for the model that asks. Raises Mistake without a check."""
        if self._payload.check is None:
            raise Mistake("this task has no check")
        changes = self._copy.changes()
        found = await self._check(self._payload.check, changes)
        self._shown = changes
        return verdict(self._payload.check, found)

    async def admit(self) -> None:
        """Let finished work pass. Raises Mistake for a failure that the model has not seen yet.

        Once it has, the failure is the reviewer's to see.
        """
        changes = self._copy.changes()
        if self._payload.check is None or not changes:
            return
        found = await self._check(self._payload.check, changes)
        if found["exit_code"] != 0 and self._shown != changes:
            self._shown = changes
            raise Mistake(
                f"{verdict(self._payload.check, found)}\n\nMend it. If it is not your change that fails, say so in"
                " the summary and call done again."
            )

    async def _check(self, command: list[str], changes: list[Change]) -> dict[str, Any]:
        if self.outcome is None or self._checked != changes:
            self._runs += 1
            self.outcome = await self._ctx.step(f"check {self._runs}", self._run, command)
            self._checked = changes
        return self.outcome

    async def _run(self, command: list[str]) -> dict[str, Any]:
        found = await run_check(
            self._copy.files(),
            command,
            self._ctx.config,
            timeout_seconds=self._payload.check_timeout_seconds,
            memory_mb=self._payload.check_memory_mb,
        )
        await self._ctx.log("check run", command=command, exit_code=found["exit_code"])
        return found


def verdict(command: Sequence[str], found: dict[str, Any]) -> str:
    """Return a check's outcome in words."""
    code = found["exit_code"]
    how = "ran out of time" if code is None else "passed" if code == 0 else f"failed with exit code {code}"
    return f"The check `{' '.join(command)}` {how}.\n\n{found['output']}".strip()
