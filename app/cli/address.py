"""Where the API listens: the port has to be free, and people need a URL that they can open."""

import socket

from orchestrator.domain.errors import NotStarted

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what the user may have set


def require_free_port(host: str, port: int) -> None:
    """Raises NotStarted, naming the flag, when something listens there or the host is not an address of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            raise NotStarted(
                f"port {port} on {host} cannot be used ({reason}): stop what listens there, or choose another"
                " with --port or PORT"
            ) from None


def url_at(host: str, port: int) -> str:
    """Return the URL for a browser on this machine."""
    shown = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
