"""The client itself: guarded connections, bounded answers, nothing taken from the environment."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import httpcore2
import httpx2

from orchestrator.domain.errors import TooLarge
from orchestrator.egress.addresses import Allowed
from orchestrator.egress.network import GuardedNetwork

MAX_RESPONSE_BYTES = "max_response_bytes"
"""The request extension that sets another bound for one answer."""
_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=15.0)
_MOST_REDIRECTS = 5
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)


def open_client(
    allow_private: Sequence[str] = (),
    *,
    max_response_bytes: int = 32 * 2**20,
    headers: Callable[[], Mapping[str, str]] = dict,
    network: httpcore2.AsyncNetworkBackend | None = None,
) -> httpx2.AsyncClient:
    """Return a client that reaches public addresses only, and the hosts in `allow_private` (see `Allowed`).

    Redirects are not followed unless a call asks for it, and each hop is checked the same. No proxy, `.netrc` or
    certificate variable of the environment is read. No cookie is kept: one client serves all tasks. An answer larger
    than `max_response_bytes`, counted after decompression, raises TooLarge while it is read; a request's extension
    `max_response_bytes` sets its own bound. `headers` are added to each request that does not have them: the trace
    goes along. Raises ValueError for an entry of `allow_private` that is no host.
    """

    async def complete(request: httpx2.Request) -> None:
        for name, value in headers().items():
            request.headers.setdefault(name, value)

    return httpx2.AsyncClient(
        transport=_Transport(network or GuardedNetwork(Allowed(allow_private)), max_response_bytes),
        timeout=_TIMEOUT,
        trust_env=False,
        max_redirects=_MOST_REDIRECTS,
        headers={"User-Agent": "aurea-orchestrator"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"request": [complete]},
    )


@cache
def _trust() -> SSLContext:
    """Whom the clients of this process believe: all authorities of this machine. Reading them takes 40 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class _Pool(httpcore2.AsyncConnectionPool):
    """httpcore2's pool, which learns whom to believe before its first connection that needs it."""

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        if origin.scheme == b"https":
            self._ssl_context = _trust()
        return super().create_connection(origin)


class _Transport(httpx2.AsyncHTTPTransport):
    """httpx2's own transport over the guarded network."""

    def __init__(self, network: httpcore2.AsyncNetworkBackend, max_response_bytes: int) -> None:
        super().__init__(verify=SSLContext(PROTOCOL_TLS_CLIENT), trust_env=False)
        # httpx2 has no argument for the backend; its pool is replaced before it opened anything.
        self._pool = _Pool(
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=network,
        )
        self._max_response_bytes = max_response_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme == "https" and not _trust.cache_info().currsize:
            await asyncio.to_thread(_trust)  # the loop goes on meanwhile
        answer = await super().handle_async_request(request)
        limit = request.extensions.get(MAX_RESPONSE_BYTES, self._max_response_bytes)
        return _BoundedResponse(limit, answer)


class _BoundedResponse(httpx2.Response):
    """A response whose decoded body ends with TooLarge at its bound. httpx2 decodes at most 1 MiB at a time."""

    def __init__(self, limit_bytes: int, answer: httpx2.Response) -> None:
        super().__init__(answer.status_code, headers=answer.headers, stream=answer.stream, extensions=answer.extensions)
        self._limit_bytes = limit_bytes

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        read = 0
        async with aclosing(super().aiter_bytes(chunk_size)) as chunks:
            async for chunk in chunks:
                read += len(chunk)
                if read > self._limit_bytes:
                    raise TooLarge(f"the answer of {self.request.url.host}", self._limit_bytes)
                yield chunk
