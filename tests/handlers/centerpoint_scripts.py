"""Scripts for the tests of centerpoint_sync: written to a folder, run with the real engine."""

import asyncio
from pathlib import Path
from typing import Any

from handlers.centerpoint_sync import centerpoint_sync
from orchestrator.testing import FakeContext, TaskRun, run_task


class Scripts:
    """A folder of scripts and the worker's configuration that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scripts"
        self.folder.mkdir()
        self.config = {"CENTERPOINT_SCRIPTS": str(self.folder)}

    def write(self, source: str, manifest: str = "", name: str = "script") -> None:
        (self.folder / f"{name}.ts").write_text(source)
        if manifest:
            (self.folder / f"{name}.toml").write_text(manifest)

    def run(self, payload: dict[str, Any] | None = None, **options: Any) -> TaskRun:
        return run_task(centerpoint_sync, {"script": "script.ts", **(payload or {})}, config=self.config, **options)

    def result(self, source: str, manifest: str = "", **options: Any) -> Any:
        self.write(source, manifest)
        run = self.run(**options)
        assert run.error is None, (run.error, run.logs)
        return run.result

    def failure(self, source: str, manifest: str = "", **options: Any) -> tuple[str, str, bool]:
        """What a script that does not succeed comes to: the error's type, message, and whether it is tried again."""
        self.write(source, manifest)
        run = self.run(**options)
        assert run.error is not None, run
        return run.error.type, run.error.message, run.error.retryable


class Watched(FakeContext):
    """A context whose first log line that starts with `pid ` can be waited for."""

    def __init__(self, config: dict[str, str]) -> None:
        super().__init__(config=config)
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def log(self, text: str, /, **fields: Any) -> None:
        if text.startswith("pid ") and not self.pid.done():
            self.pid.set_result(int(text.removeprefix("pid ")))
        await super().log(text, **fields)
