"""What a script says becomes events of its task: without secrets, bounded in length and in number."""

from typing import Any

from handlers.centerpoint_sync.protocol import Log, Progress
from orchestrator.sdk import Context

MOST_LINES = 1_000
MOST_PROGRESS = 1_000
LONGEST_LINE = 4_096


class Telling:
    """Tells for one run of a script."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._lines = 0
        self._progress = 0
        self._furthest = 0.0

    async def line(self, stream: str, text: str, level: str) -> None:
        """Tell a line of output."""
        await self._log(text, {"level": level, "stream": stream})

    async def log(self, message: Log) -> None:
        await self._log(message.text, {**message.fields, "level": message.level})

    async def progress(self, message: Progress) -> None:
        """Tell it; beyond the bound only what is a hundredth further than anything before."""
        self._progress += 1
        if self._progress > MOST_PROGRESS and message.fraction < self._furthest + 0.01:
            return
        self._furthest = max(self._furthest, message.fraction)
        await self._ctx.progress(message.fraction, message.text[:LONGEST_LINE])

    async def _log(self, text: str, fields: dict[str, Any]) -> None:
        self._lines += 1
        if self._lines <= MOST_LINES:
            cut = len(text) - LONGEST_LINE
            await self._ctx.log(text if cut <= 0 else f"{text[:LONGEST_LINE]}… ({cut} more characters)", **fields)
        elif self._lines == MOST_LINES + 1:
            await self._ctx.log(f"said {MOST_LINES} lines: the rest is dropped", level="warning")
