"""The Lua scripts: found in `lua/`, sent once, then called by their hash.

Each file is one atomic act. `prelude.lua`, what they share, is put in front of each, and behind it those files of
`lua/shared/` that the script's header names WITH.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from orchestrator.queue.connect import answering
from orchestrator.queue.port import PAGE

Arg = str | bytes | int | float
T = TypeVar("T")
_PRELUDE = "prelude"
_WITH = re.compile(r"^-- WITH +(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One script as the server knows it."""

    source: str
    sha: str


def load_scripts() -> Mapping[str, Script]:
    """Read every script of the package, by its stem."""
    folder = files(__package__) / "lua"
    sources, shared = _read(folder), _read(folder / "shared")
    prelude = sources.pop(_PRELUDE)
    scripts = {}
    for name, source in sources.items():
        named = _WITH.search(source)
        parts = [shared[part] for part in named.group(1).split(", ")] if named else []
        whole = "\n".join([prelude, *parts, source])
        scripts[name] = Script(whole, sha1(whole.encode(), usedforsecurity=False).hexdigest())
    return scripts


def _read(folder: Traversable) -> dict[str, str]:
    return {
        path.name.removesuffix(".lua"): path.read_text(encoding="utf-8")
        for path in folder.iterdir()
        if path.name.endswith(".lua")
    }


SCRIPTS = load_scripts()


def pages(sequence: Sequence[T]) -> Iterator[list[T]]:
    """Cut what a call is about into what scripts take."""
    rest = iter(sequence)
    while page := list(islice(rest, PAGE)):
        yield page


def call(name: str, keys: Sequence[str], args: Sequence[Arg]) -> tuple[Arg, ...]:
    """Return the command that runs a script, on a server that knows it."""
    return ("EVALSHA", SCRIPTS[name].sha, len(keys), *keys, *args)


class Scripts:
    """Runs scripts on one server."""

    def __init__(self, commands: Redis) -> None:
        self._commands = commands
        self._execute: Callable[..., Awaitable[Any]] = commands.execute_command

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run a script and return its reply, a list that starts with a word.

        A server that forgot the script (a restart, a failover) has run nothing; it is sent again then.
        Raises Unavailable; the script may have run all the same.
        """
        script = SCRIPTS[name]
        with answering():
            try:
                return await self._execute(*call(name, keys, args))
            except NoScriptError:
                return await self._execute("EVAL", script.source, len(keys), *keys, *args)

    async def run_then(self, name: str, keys: Sequence[str], args: Sequence[Arg], *then: Sequence[Arg]) -> Any:
        """Run a script and behind it, over the same connection, commands; return all replies.

        One of a command is an error when the server refused it. Raises as `run` does.
        """
        script = SCRIPTS[name]
        with answering():
            try:
                return await self._in_turn(call(name, keys, args), *then)
            except NoScriptError:
                return await self._in_turn(("EVAL", script.source, len(keys), *keys, *args), *then)

    async def _in_turn(self, *commands: Sequence[Arg]) -> Sequence[Any]:
        pipeline = self._commands.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        if isinstance(replies[0], RedisError):
            raise replies[0]
        return replies
