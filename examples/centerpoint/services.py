"""The two services of the example, as small as they can be: a CRM that has customers, a warehouse that takes them.

Run it beside Aurea: `python examples/centerpoint/services.py`; the README of this folder says the rest.
"""

import json
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

CRM_PORT, WAREHOUSE_PORT = 8801, 8802
CRM_TOKEN, WAREHOUSE_TOKEN = "crm-secret", "warehouse-secret"


class Service(ThreadingHTTPServer):
    """One of them; `broken` lists the statuses of its next answers, None for a good one; then it works again."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: type[BaseHTTPRequestHandler], token: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), answer)
        self.token = token
        self.broken: list[int | None] = []
        self.requests: list[tuple[str, str]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was ended in the middle of a request is nothing to speak of."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Crm(Service):
    """Has customers, in pages that name the next one."""

    def __init__(self, customers: int = 250, token: str = CRM_TOKEN, port: int = 0) -> None:
        super().__init__(_Pages, token, port)
        self.customers = [{"id": f"c{number:05}", "name": f"Customer {number}"} for number in range(1, customers + 1)]


class Warehouse(Service):
    """Takes customers by their key, and counts how often each was written."""

    def __init__(self, token: str = WAREHOUSE_TOKEN, port: int = 0) -> None:
        super().__init__(_Shelf, token, port)
        self.stored: dict[str, Any] = {}
        self.writes: dict[str, int] = {}


class _Answer(BaseHTTPRequestHandler, ABC):
    server: Any
    protocol_version = "HTTP/1.1"

    @abstractmethod
    def serve(self) -> Any:
        """Return the JSON of the answer, or a status."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.body = json.loads(body) if body else None
        self.server.requests.append((self.command, self.path))
        told: Any = self.server.broken.pop(0) if self.server.broken else None
        if told is None:
            allowed = self.headers.get("authorization") == f"Bearer {self.server.token}"
            told = self.serve() if allowed else 401
        content = b"" if isinstance(told, int) else json.dumps(told).encode()
        self.send_response(told if isinstance(told, int) else 200)
        self.send_header("content-length", str(len(content)))
        if told in (429, 503):
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        return


class _Pages(_Answer):
    def serve(self) -> Any:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        rest = [each for each in self.server.customers if each["id"] > asked.get("after", "")]
        page = rest[: int(asked.get("limit", 100))]
        return {
            "items": page,
            "total": len(self.server.customers),
            "next": page[-1]["id"] if len(rest) > len(page) else None,
        }


class _Shelf(_Answer):
    def serve(self) -> Any:
        if self.command != "PUT":
            return self.server.stored
        key = urlsplit(self.path).path.removeprefix("/customers/")
        self.server.stored[key] = self.body
        self.server.writes[key] = self.server.writes.get(key, 0) + 1
        return {"key": key}


if __name__ == "__main__":
    crm, warehouse = Crm(port=CRM_PORT), Warehouse(port=WAREHOUSE_PORT)
    crm.start()
    print(f"{len(crm.customers)} customers on {crm.host}, a warehouse on {warehouse.host}; Ctrl-C ends both")  # noqa: T201
    try:
        warehouse.serve_forever()
    except KeyboardInterrupt:
        print(f"\n{len(warehouse.stored)} customers are in the warehouse")  # noqa: T201 - a program for a terminal
