"""Ports for servers that go away and come back."""

import os
import random
import socket

from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.process import free_port

_QUIET = range(18_000, 31_000)
"""Below what systems hand out to outgoing connections: nobody takes such a port while its server is down, and no
client that knocks there meets itself."""
_ORDER = random.Random(os.getpid())  # noqa: S311 - where to look first, so that two systems seldom meet


def quiet_port() -> int:
    """A free port that stays free while its server restarts, and that this function gives to nobody else as long as
    this process lives. Raises NotStarted when there is none.
    """
    for _ in range(1000):
        port = _ORDER.choice(_QUIET)
        if free_port(port) == port and _claim(port):
            return port
    raise NotStarted(f"no port between {_QUIET.start} and {_QUIET.stop} is free on 127.0.0.1")


def _claim(port: int) -> bool:
    """Take the UDP port of the same number, which no server of ours wants: whoever else looks for one sees that."""
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    claim.detach()  # it ends with this process
    return True
