"""The way of spans to a collector that is reached by plain HTTP: one beside the process, or in its own network.

OpenTelemetry's exporter would load requests for it, and with that a detector of character sets: 4 MB of a process for
one POST in five seconds. httpx2 is loaded anyway. A collector behind TLS is left to the exporter's own way: that one
knows its variables for certificates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import httpx2
from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport


@dataclass(frozen=True, slots=True)
class Answer(BaseHTTPResult):
    """What the collector answered, or the error instead of it."""

    response: httpx2.Response | None = None

    def content(self) -> bytes:
        return b"" if self.response is None else self.response.content

    def headers(self) -> Mapping[str, str]:
        return {} if self.response is None else self.response.headers


class PlainHTTP(BaseHTTPTransport):
    """Sends for the exporter, which decides about retries; used on the exporter's thread. Proxies count as usual."""

    def __init__(self) -> None:
        self._http = httpx2.Client(verify=SSLContext(PROTOCOL_TLS_CLIENT))  # who speaks no TLS needs no authorities

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> Answer:
        try:
            response = self._http.request(method, url, headers=headers, timeout=timeout, content=data)
        except Exception as error:  # noqa: BLE001 - handed to the exporter, which logs it or tries again
            return Answer(error=error)
        return Answer(response.status_code, response.reason_phrase, None, response)

    def is_connection_error(self, exception: Exception | None) -> bool:
        return isinstance(exception, httpx2.TransportError)

    def close(self) -> None:
        self._http.close()
