"""What uvicorn is told: which protocol it speaks, whom it believes, how it leaves."""

from typing import Any

from app.protocol import Bounded
from orchestrator.settings import Settings

_LEAVING_SECONDS = 2
"""What open streams get before they are cut, so that a stop never takes long."""


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments of uvicorn's Config that do not depend on where it listens.

    Forwarded headers are believed from AUREA_TRUSTED_PROXIES alone, whatever uvicorn's own variable says; there are
    no WebSockets here.
    """
    return {
        "http": Bounded,
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": bool(settings.aurea_trusted_proxies),
        "forwarded_allow_ips": list(settings.aurea_trusted_proxies),
        "timeout_graceful_shutdown": _LEAVING_SECONDS,
    }
