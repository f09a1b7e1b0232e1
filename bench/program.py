"""What every system under test can be asked to do, as commands of one small program.

`python -m bench.peers.NAME COMMAND ...`, run by the system's own interpreter in a folder that holds `servers.json`, the
addresses of the servers. Counters of executions are made in that folder too.

    setup               make the tables, where there are any
    send TASK NUMBER    submit one by one, 32 callers at once
    fill TASK NUMBER    submit in the fastest way the system has
    pace NUMBER RATE    submit NUMBER no-ops, RATE a second, each told when it was sent
    work KIND           become the system's own worker; KIND is `drain` or `nap`

The submitting commands print the seconds they took. Only the standard library is used, and uvloop where
it is installed.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

CALLERS = 32

Send = Callable[[str, int], Awaitable[object]]
"""Submits one task by its name, `nothing` or `nap`, with its argument: the monotonic moment it is sent, or 0."""
Fill = Callable[[str, int], Awaitable[object]]
"""Submits this many tasks of one name in few calls."""


@dataclass(frozen=True)
class Client:
    """An open connection of a submitter; `fill` is None where the system has no bulk call."""

    send: Send
    fill: Fill | None = None


@dataclass(frozen=True)
class System:
    """One system under test: how to submit, and the command line of its worker for a kind of work."""

    client: Callable[[], AbstractAsyncContextManager[Client]]
    worker: Callable[[str], list[str]]
    setup: Callable[[], Awaitable[object]] | None = None


def servers() -> dict[str, str]:
    """The addresses of `redis` and `postgres`."""
    found: dict[str, str] = json.loads(Path("servers.json").read_text())
    return found


def tool(name: str) -> str:
    """A program of the environment that this interpreter belongs to."""
    return str(Path(sys.executable).with_name(name))


def parts(number: int, size: int) -> Iterator[int]:
    """`number` in parts of at most `size`."""
    for start in range(0, number, size):
        yield min(size, number - start)


def main(system: System) -> None:
    """Do what the command line says."""
    command, *arguments = sys.argv[1:]
    if command == "work":
        line = system.worker(arguments[0])
        os.execv(line[0], line)
    run(_setup(system) if command == "setup" else _submit(system, command, arguments))


def run(work: Awaitable[object]) -> None:
    """Run to the end, on uvloop if it is there."""

    async def whole() -> None:
        await work

    try:
        import uvloop
    except ImportError:
        asyncio.run(whole())
    else:
        uvloop.run(whole())


async def pace(send: Send, number: int, rate: float) -> None:
    """Submit no-ops at a steady rate, each with the moment of its call."""
    began = time.perf_counter()
    for turn in range(number):
        await asyncio.sleep(max(0.0, began + turn / rate - time.perf_counter()))
        await send("nothing", time.monotonic_ns())


async def _setup(system: System) -> None:
    if system.setup is not None:
        await system.setup()


async def _submit(system: System, command: str, arguments: list[str]) -> None:
    async with system.client() as client:
        began = time.perf_counter()
        if command == "pace":
            await pace(client.send, int(arguments[0]), float(arguments[1]))
        elif command == "fill" and client.fill is not None:
            await client.fill(arguments[0], int(arguments[1]))
        else:
            await _send(client, arguments[0], int(arguments[1]))
        print(time.perf_counter() - began)


async def _send(client: Client, task: str, number: int) -> None:
    turns = iter(range(number))

    async def caller() -> None:
        for _ in turns:
            await client.send(task, 0)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
