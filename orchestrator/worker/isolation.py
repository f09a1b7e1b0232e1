"""A handler in a process of its own: started fresh, fed over a socket, and really ended.

The child decides what its handler came to. This side does for it what needs the worker (journal, steps, submissions)
and, however the attempt ends, kills the child's whole process group. A child that dies is a failed attempt and harms
nobody else. Payload and settings go over the socket, so that neither stands in a command line.
"""

import asyncio
import os
import signal
import socket
import sys
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.events import EventKind
from orchestrator.domain.outcome import Crashed, Failed, Parked, Succeeded
from orchestrator.domain.retry import is_suspect
from orchestrator.sdk import Handler
from orchestrator.worker.bench import Submission
from orchestrator.worker.context import AttemptContext
from orchestrator.worker.failure import fail
from orchestrator.worker.frames import Frame, read_frame, read_outcome, read_step_list, write_frame
from orchestrator.worker.output import Output
from orchestrator.worker.refusal import write_refusal
from orchestrator.worker.replies import read_request

LEAVE_SECONDS = 1.0
"""For a child that handed in its outcome to leave by itself."""


@dataclass(frozen=True, slots=True)
class _Child:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def run_in_process(
    handler: Handler, source: str, context: AttemptContext
) -> Succeeded | Failed | Parked | Crashed:
    """Run one attempt in a child process; `source` is what `discovery.load` takes to find the handler again.

    When this call ends, by a cancellation too, nothing of the child's group is left. Raises LeaseLost.
    """
    try:
        async with _started(context) as child:
            write_frame(child.writer, _start(handler, source, context))
            outcome = await _serve(child, context)
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await child.process.wait()
    except OSError as error:
        return fail(handler.name, "process_not_started", f"no process could be started for it: {error}")
    if outcome is None and is_suspect(context.claim.entry.crashes):
        return Crashed(begun=True)
    if outcome is None:
        return fail(handler.name, "process_died", _cause_of_death(child.process.returncode))
    return outcome


@asynccontextmanager
async def _started(context: AttemptContext) -> AsyncIterator[_Child]:
    async with AsyncExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.callback(theirs.close)
        reader, writer = await asyncio.open_connection(sock=ours)
        stack.callback(writer.close)
        outputs = Output("stdout", context), Output("stderr", context)
        for output in outputs:
            stack.push_async_callback(output.end)
            await output.open()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-X", "faulthandler", "-m", "orchestrator.worker.child", str(theirs.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=outputs[0].write_end,
            stderr=outputs[1].write_end,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        stack.push_async_callback(_end, process)
        theirs.close()
        for output in outputs:
            output.started()
        yield _Child(process, reader, writer)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _start(handler: Handler, source: str, context: AttemptContext) -> Frame:
    bench = context.bench
    return {
        "source": source,
        "name": handler.name,
        "claim": context.claim,
        "started_at": context.started_at,
        "memory_mb": handler.memory_mb,
        "max_result_bytes": bench.max_result_bytes,
        "config": dict(bench.config.values),
        "allow_private": list(bench.allow_private),
        "http_headers": dict(bench.http_headers()),
        "import_paths": sys.path,
        "parent_pid": os.getpid(),
    }


async def _serve(child: _Child, context: AttemptContext) -> Succeeded | Failed | Parked | None:
    """Do what the child asks for until it has an outcome; None when it is gone without one."""
    with suppress(ConnectionError):
        while (frame := await read_frame(child.reader)) is not None:
            match frame["op"]:
                case "tell":
                    context.telling.tell(EventKind(frame["kind"]), frame["data"].encode())
                    await context.bench.journal.room()
                case "begun":
                    context.bench.begun(context.claim)
                case "outcome":
                    return read_outcome(frame)
                case "lost":
                    raise LeaseLost(context.task_id, context.fence)
                case _:
                    write_frame(child.writer, {"number": frame["number"], **await _answer(frame, context)})
                    await child.writer.drain()
    return None


async def _answer(asked: Frame, context: AttemptContext) -> Frame:
    try:
        return {"value": await _act(asked, context)}
    except Exception as error:  # noqa: BLE001 - it is the child's, whose handler may live with it
        return write_refusal(error)


async def _act(asked: Frame, context: AttemptContext) -> Any:
    bench, claim = context.bench, context.claim
    match asked["op"]:
        case "load":
            return dict(await bench.steps.load(claim))
        case "begin":
            return dict(await bench.steps.begin(claim, read_step_list(asked["steps"])))
        case "take_lock":
            return await bench.services.take_lock(claim, asked["name"])
        case "release_lock":
            return await bench.services.release_lock(claim, asked["name"])
        case "artifact":
            data, kind = b64decode(asked["data"]), asked["content_type"]
            return await bench.services.keep_artifact(claim, asked["name"], data, kind, asked["bucket"])
        case "sign":
            return await bench.services.sign(claim, asked["subscription"], asked["event_id"], b64decode(asked["body"]))
        case "generate":
            return await bench.services.generate(claim, asked["step"], read_request(asked["request"]), context)
        case "save":
            return await bench.steps.save(claim, asked["name"], asked["result"].encode())
        case "submit":
            return await bench.submit(claim, Submission(**asked["submission"]))
    raise ValueError(f"a child asked for {asked['op']!r}")


def _cause_of_death(status: int | None) -> str:
    if status is None or status >= 0:
        return f"its process left with exit code {status} before the handler returned; its log may say why"
    name = signal.Signals(-status).name
    hint = ", which is what the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}; its log may say why"
