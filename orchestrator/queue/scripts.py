"""The Lua scripts: found in `lua/`, sent once, then called by their hash.

Each file is one atomic act. `prelude.lua`, what they share, is put in front of each.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from orchestrator.queue.connect import answering

Arg = str | bytes | int | float
_PRELUDE = "prelude"


@dataclass(frozen=True, slots=True)
class Script:
    """One script as the server knows it."""

    source: str
    sha: str


def load_scripts() -> Mapping[str, Script]:
    """Read every script of the package, by its stem."""
    sources = {
        path.name.removesuffix(".lua"): path.read_text(encoding="utf-8")
        for path in (files(__package__) / "lua").iterdir()
        if path.name.endswith(".lua")
    }
    prelude = sources.pop(_PRELUDE)
    whole = {name: f"{prelude}\n{source}" for name, source in sources.items()}
    return {
        name: Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest()) for name, source in whole.items()
    }


SCRIPTS = load_scripts()


class Scripts:
    """Runs scripts on one server."""

    def __init__(self, commands: Redis) -> None:
        self._execute: Callable[..., Awaitable[Any]] = commands.execute_command

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run a script and return its reply, a list that starts with a word.

        A server that forgot the script (a restart, a failover) has run nothing; it is sent again then.
        Raises Unavailable; the script may have run all the same.
        """
        script = SCRIPTS[name]
        with answering():
            try:
                return await self._execute("EVALSHA", script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await self._execute("EVAL", script.source, len(keys), *keys, *args)
