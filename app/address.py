"""Where a request came from."""

from starlette.types import Scope


def address_of(scope: Scope) -> str:
    """Return the peer's address; empty where there is none, as on a Unix socket."""
    client = scope.get("client")
    return "" if client is None else str(client[0])
