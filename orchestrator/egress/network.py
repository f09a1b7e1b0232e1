"""Dialling: a host is resolved once, every address is checked, and a checked address is what is dialled.

So a name cannot pass the check with one answer and be dialled with another (DNS rebinding), and a redirect is checked
like any request, since it needs a connection too.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from httpcore2 import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError, ConnectTimeout

from orchestrator.domain.errors import AddressRefused
from orchestrator.egress.addresses import Allowed, is_public

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""From a host and a port to its addresses. Raises OSError."""


async def resolve(host: str, port: int) -> list[str]:
    """Return every address of a host, as the machine's resolver gives them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_own(address: str) -> bool:
    """Whether an address is one of this machine's: the way to it would begin there. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((address, 9))
            return str(way.getsockname()[0]) == address
    except OSError:  # no way there, or no such family here
        return False


class GuardedNetwork(AsyncNetworkBackend):
    """Opens connections to public addresses, and to the private hosts that are allowed."""

    def __init__(self, allowed: Allowed, resolve: Resolve = resolve, dial: AsyncNetworkBackend | None = None) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._dial = dial if dial is not None else AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """Raises AddressRefused, or httpcore's connect errors. The timeout covers all addresses together."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
                failure: Exception = ConnectError(f"{host} has no address")
                for address in addresses:
                    try:
                        return await self._dial.connect_tcp(address, port, None, local_address, socket_options)
                    except ConnectError as error:
                        failure = error
                raise failure
        except TimeoutError as error:
            raise ConnectTimeout(f"no connection to {host} within {timeout} s") from error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> AsyncNetworkStream:
        raise AddressRefused(path, "is a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._dial.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except UnicodeError:
            raise AddressRefused(host, "is not a host name") from None
        except OSError as error:
            raise ConnectError(f"{host} cannot be resolved: {error.strerror or error}") from error
        if not self._allowed.holds(host, port):
            for address in addresses:
                if not is_public(address):
                    named = "is" if address == host else "leads to what is"  # which, is nobody's business outside
                    raise AddressRefused(host, f"{named} not a public address")
                if is_own(address):
                    raise AddressRefused(host, "is this machine itself")
        return addresses
