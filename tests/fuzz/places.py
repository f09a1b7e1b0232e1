"""Every place of the API that takes a text: of each route in the OpenAPI document its path, query, headers and body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

ID = "01997c0e-0000-7000-8000-000000000000"
USUAL = {"id": ID, "artifact_id": ID, "name": "default", "source": "github"}
HEADERS = """
Authorization Aurea-Tenant Idempotency-Key Last-Event-ID X-Request-Id traceparent Content-Type Content-Length
Content-Encoding Origin X-Hub-Signature-256 X-Forwarded-For
""".split()  # noqa: SIM905 - as a list it would be a screen long


@dataclass(frozen=True)
class Place:
    method: str
    path: str
    kind: str
    """path, query, header or body."""
    name: str
    inside: tuple[str | int, ...] = ()
    """Of a body: the steps from the top to the text."""

    async def send(self, http: httpx2.AsyncClient, text: str) -> httpx2.Response:
        """Send a request that is good but for this text."""
        filled = {**USUAL, self.name: text} if self.kind == "path" else USUAL
        url = self.path
        for name, value in filled.items():
            url = url.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
        if self.kind == "query":
            url += f"?{quote(self.name)}={quote(text, safe='')}"
        headers = {self.name.encode(): text.encode()} if self.kind == "header" else {}
        body = orjson.dumps(_around(self.inside, text)) if self.kind == "body" else b"{}"
        return await http.request(self.method, url, headers=headers, content=None if self.method == "GET" else body)


def places(document: Mapping[str, Any]) -> Iterator[Place]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                yield Place(method.upper(), path, parameter["in"], parameter["name"])
            for inside in _texts(document, _body(operation)):
                yield Place(method.upper(), path, "body", str(inside[-1]), inside)
    for name in HEADERS:
        yield Place("GET", "/stream/{id}", "header", name)
        yield Place("POST", "/tasks", "header", name)
        yield Place("POST", "/webhooks/{source}", "header", name)


def _body(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    media = operation.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = media.get("application/json", {}).get("schema", {})
    return schema


def _texts(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Return the ways to each value: a text goes there, whatever is asked for."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        yield from _texts(document, branch)
    for name, inner in schema.get("properties", {}).items():
        yield (name,)
        yield from ((name, *rest) for rest in _texts(document, inner))
    if "items" in schema:
        yield (0,)
        yield from ((0, *rest) for rest in _texts(document, schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        yield ("any",)


def _around(inside: tuple[str | int, ...], text: str) -> Any:
    value: Any = text
    for step in reversed(inside):
        value = [value] if isinstance(step, int) else {step: value}
    if inside[0] == "tasks" and inside != ("tasks",) and isinstance(value["tasks"][0], dict):
        value = {"tasks": [{"type": "greet", **value["tasks"][0]}]}
    return {"type": "greet", **value} if inside[0] in _OF_A_TASK and inside[0] != "type" else value


_OF_A_TASK = frozenset(
    {"payload", "priority", "queue", "idempotency_key", "key_lifetime", "run_at", "delay_seconds", "expires_at"}
    | {"max_retries", "timeout_seconds", "tags"}
)
