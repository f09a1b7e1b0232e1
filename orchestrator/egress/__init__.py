"""The guarded way out: the HTTP client that handlers use."""

from orchestrator.egress.client import open_client

__all__ = ["open_client"]
