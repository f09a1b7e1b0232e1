"""The command line as a test starts it: in this process, as a process of its own, or on a terminal."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pytest_httpserver import HTTPServer
from typer.testing import CliRunner, Result
from werkzeug import Request, Response

from app.cli.main import cli

TASK_ID = "01997c0e-7d40-7abc-8def-0123456789ab"
TOKEN = "a-token"
NOWHERE = "/nonexistent"


def task(**changes: Any) -> dict[str, Any]:
    """A task as the contract shows it."""
    return {
        "id": TASK_ID, "type": "resize", "status": "queued", "queue": "default", "priority": 5,
        "payload": {"url": "http://x"}, "result": None, "error": None, "progress": None, "tags": {"team": "docs"},
        "attempt": 0, "max_retries": 6, "timeout_seconds": 900, "idempotency_key": None, "parent_id": None,
        "run_at": None, "expires_at": None, "created_at": "2026-11-20T10:00:00Z", "started_at": None,
        "finished_at": None, "worker_id": None, "trace_id": "ab" * 16, "cost_usd": 0.0,
        "links": {"self": f"/tasks/{TASK_ID}", "stream": f"/stream/{TASK_ID}"},
    } | changes  # fmt: skip


def page(*items: Any, next_cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": next_cursor}


def frame(place: int, kind: str, data: Any) -> bytes:
    """One server-sent event."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (place, kind.encode(), orjson.dumps(data))


def serve_stream(server: HTTPServer, *connections: Callable[[Request], Response]) -> list[str]:
    """Answer the n-th connection to the stream with the n-th handler; return what each sent as Last-Event-ID."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.headers.get("Last-Event-ID", ""))
        return connections[len(asked) - 1](request)

    server.expect_request(f"/stream/{TASK_ID}").respond_with_handler(answer)
    return asked


def stream(*frames: bytes) -> Callable[[Request], Response]:
    """A connection that sends these events and closes."""
    return lambda _: Response(b"".join(frames), mimetype="text/event-stream")


def cut(*frames: bytes) -> Callable[[Request], Response]:
    """A connection that breaks in the middle of an event."""
    body = b"".join(frames) + b"id: 99"
    return lambda _: Response(iter([body]), mimetype="text/event-stream", headers={"Content-Length": "100000"})


def aurea(
    server: HTTPServer | str, *args: str, token: str | None = TOKEN, home: str = NOWHERE, stdin: bytes | None = None
) -> Result:
    """Run a verb in this process, its output in a pipe."""
    return CliRunner().invoke(cli, args, env=_variables(server, token) | {"AUREA_HOME": home}, input=stdin)


def start(server: HTTPServer | str, *args: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a verb as a process."""
    environment = {**os.environ, **{k: v for k, v in _variables(server, TOKEN).items() if v is not None}}
    environment |= {"COLUMNS": "110", "TERM": "xterm-256color"} | options.pop("env", {})
    return subprocess.Popen([sys.executable, "-m", "app.cli.main", *args], env=environment, **options)


@dataclass(frozen=True)
class Screen:
    """What was written to a terminal, escape sequences included."""

    text: str
    exit_code: int


def on_terminal(server: HTTPServer, args: Sequence[str], env: dict[str, str] | None = None) -> Screen:
    """Run a verb on a real terminal (a pty) until it ends."""
    ours, theirs = pty.openpty()
    process = start(server, *args, stdin=theirs, stdout=theirs, stderr=theirs, env=env or {}, close_fds=True)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        written += chunk
    os.close(ours)
    return Screen(written.decode(), process.wait(timeout=10))


def _variables(server: HTTPServer | str, token: str | None) -> dict[str, str | None]:
    url = server if isinstance(server, str) else server.url_for("").rstrip("/")
    return {"AUREA_URL": url, "AUREA_TOKEN": token, "AUREA_HOME": NOWHERE, "NO_COLOR": None}
