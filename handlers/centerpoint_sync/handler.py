"""The handler: find the script, give it what is declared, and see it through to its result."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from handlers.centerpoint_sync.checkpoints import Checkpoints
from handlers.centerpoint_sync.conversation import Conversation
from handlers.centerpoint_sync.endings import ScriptTimeout
from handlers.centerpoint_sync.engine import Engine, find_engine
from handlers.centerpoint_sync.imports import check_imports
from handlers.centerpoint_sync.manifest import Manifest, Narrowed, grant, read_manifest
from handlers.centerpoint_sync.process import Bounds, start
from handlers.centerpoint_sync.scripts import Script, find_script
from handlers.centerpoint_sync.verdict import judge
from orchestrator.sdk import Config, Context, Redaction, task

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


class CenterpointSync(BaseModel):
    """Which script to run, and with what."""

    model_config = ConfigDict(extra="forbid")

    script: Annotated[str, Field(max_length=200, pattern=rf"^({_PART}/)*{_PART}\.ts$")]
    """Its path inside the folder CENTERPOINT_SCRIPTS."""
    input: Any = None
    """Handed to the script as it is."""
    permissions: Narrowed = Narrowed()
    """What the script gets of what its manifest declares."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is settled before anything runs."""

    script: Script
    engine: Engine
    manifest: Manifest
    granted: dict[str, list[str]]
    variables: dict[str, str] = field(repr=False)
    writable: list[str]
    """The folders that what it may write is in."""

    def environment(self, folder: str) -> dict[str, str]:
        """Return all that the process finds in its environment; `folder` is its own for this run."""
        ours = {"HOME": folder, "DENO_DIR": folder, "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
        return {**self.variables, **ours}

    def bounds(self, folder: str) -> Bounds:
        read = [str(self.script.folder), *self.granted["read"]]
        return Bounds(self.manifest.memory_mb, read, [folder, *self.writable])

    def redaction(self) -> Redaction:
        return Redaction(value for name, value in self.variables.items() if name not in self.manifest.shown_env)


@task("centerpoint_sync")
async def centerpoint_sync(payload: CenterpointSync, ctx: Context) -> Any:
    """Run a TypeScript sync script with the permissions it declares."""
    return await ctx.step("result", _sync, payload, ctx)


async def _sync(payload: CenterpointSync, ctx: Context) -> Any:
    plan = await asyncio.to_thread(_prepare, payload, ctx.config)
    checkpoints = Checkpoints(ctx)
    await checkpoints.recall()
    limit = asyncio.timeout(plan.manifest.timeout_seconds)
    try:
        with TemporaryDirectory(prefix="centerpoint-") as folder:
            async with limit:
                return await _run(plan, payload.input, ctx, checkpoints, folder)
    except TimeoutError:
        if not limit.expired():
            raise
        seconds, manifest = plan.manifest.timeout_seconds, plan.script.manifest.name
        raise ScriptTimeout(
            f"{payload.script} did not end within {seconds:g} s (timeout_seconds in {manifest})"
        ) from None


async def _run(plan: _Plan, given: Any, ctx: Context, checkpoints: Checkpoints, folder: str) -> Any:
    script, memory_mb = plan.script, plan.manifest.memory_mb
    environment, bounds = plan.environment(folder), plan.bounds(folder)
    if plan.engine.kind == "deno":
        await check_imports(plan.engine, script, plan.granted, environment, bounds)
    else:
        await ctx.log("Node runs this script: the network is open to it, whatever it declares", level="warning")
    await ctx.log(f"{script.name} starts", checkpoints=checkpoints.count, engine=plan.engine.kind)
    command = plan.engine.run(script, plan.granted, memory_mb)
    async with start(command, environment, script.folder, bounds) as process:
        conversation = Conversation(process, ctx, checkpoints, plan.redaction())
        code = await conversation.follow(given)
    if code != 0:
        raise judge(script, code, conversation.last_words, memory_mb)
    return conversation.result


def _prepare(payload: CenterpointSync, config: Config) -> _Plan:
    """Raises Terminal when anything is missing, before there is any effect."""
    script = find_script(payload.script, config)
    manifest = read_manifest(script.manifest)
    granted = grant(script.manifest.name, manifest.permissions, payload.permissions, config, script.folder)
    variables = {name: config.require(name) for name in granted["env"]}
    writable = [_folder_of(path) for path in granted["write"]]
    return _Plan(script, find_engine(config), manifest, granted, variables, writable)


def _folder_of(path: str) -> str:
    """Return the path, or the nearest folder above it that is there: a file may have to be made."""
    return next(str(each) for each in (Path(path), *Path(path).parents) if each.is_dir())
