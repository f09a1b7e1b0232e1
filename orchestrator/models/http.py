"""The HTTP client under an SDK: one for each provider and process."""

import ssl
from functools import cache

import httpx2

CONNECT_SECONDS = 10.0
BROKEN = (httpx2.TransportError, ValueError, LookupError)
"""What SDKs let through of a connection that breaks, or of a stream that is not what it should be."""
_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
"""A stream holds its connection to the end; hundreds run at once, and none waits for another."""


def open_http() -> httpx2.AsyncClient:
    """Return a client that follows no redirect, which could carry a key elsewhere. Times are set for each call."""
    return httpx2.AsyncClient(verify=tls(), limits=_LIMITS, follow_redirects=False)


def within(seconds: float) -> httpx2.Timeout:
    """Return the bounds of a call that may take this long in all."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


@cache
def tls() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than all the rest of a client."""
    return httpx2.create_ssl_context()
