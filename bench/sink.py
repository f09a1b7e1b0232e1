"""A collector of traces that only counts what it is sent, so that tracing is really on while the bench measures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink(ThreadingHTTPServer):
    """`received` is the number of exports so far; `url` is where to send them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received = 0
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def trace_sink() -> Iterator[Sink]:
    """A sink that answers in a thread of its own until the end of the block."""
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        yield sink
        sink.shutdown()
