"""Where a request came from. The server has put in the word of the proxies in AUREA_TRUSTED_PROXIES by then."""

from starlette.types import Scope


def address_of(scope: Scope) -> str:
    """Return the peer's address; empty where there is none, as on a Unix socket."""
    client = scope.get("client")
    return "" if client is None else str(client[0])
