"""A server that is there and does nothing: every process of it is stopped, its connections stay open."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey


@contextmanager
def frozen(*servers: Postgres | Valkey) -> Iterator[None]:
    """Freeze servers of this test's own; they go on at the end, unless they were killed meanwhile."""
    stopped = [pid for server in servers if server._process for pid in _family(server._process.pid)]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGCONT)


def _family(pid: int) -> list[int]:
    """The parent first, so that it starts no more."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]
