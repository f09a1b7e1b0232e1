"""The OpenAPI document: what FastAPI derives, and what it cannot see.

Bodies that routes read themselves are named here by their models; every route gets the bearer scheme, unless it is
open to all, and the one shape of refusals.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

REF = "#/components/schemas/{model}"
OPEN_PATHS = frozenset({"/health", "/livez", "/readyz"})
_PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do, in a sentence."},
        "code": {"type": "string", "description": "The stable word for programs."},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "Where, as a JSON pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_REFUSED = {
    "description": "Refused",
    "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}},
}


class Body(dict[str, Any]):
    """What a route that reads its own body says about it; give it to the route as `openapi_extra`."""

    def __init__(self, model: type[BaseModel], example: Mapping[str, Any], *, required: bool = True) -> None:
        media = {"schema": {"$ref": REF.format(model=model.__name__)}, "example": example}
        super().__init__(requestBody={"required": required, "content": {"application/json": media}})
        self.model = model


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document; built once, at the first request for it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = document.setdefault("components", {})
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        schemas = components.setdefault("schemas", {})
        bodies = _bodies(app)
        if doubled := {name for name in schemas.keys() & bodies.keys() if schemas[name] != bodies[name]}:
            raise ValueError(f"two models are called the same: {', '.join(sorted(doubled))}")
        schemas.update(bodies, Problem=_PROBLEM)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # FastAPI's own shape of refusals, which nothing here answers with
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(operation, open_to_all=path in OPEN_PATHS or path.startswith("/webhooks/"))
        app.openapi_schema = document
    return app.openapi_schema


def _bodies(app: FastAPI) -> dict[str, Any]:
    extras = [getattr(route, "openapi_extra", None) for route in app.routes]
    models = [extra.model for extra in extras if isinstance(extra, Body)]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    found: dict[str, Any] = definitions["$defs"]
    return found


def _complete(operation: dict[str, Any], *, open_to_all: bool) -> None:
    answers = {status: told for status, told in operation["responses"].items() if status != "422"}
    operation["responses"] = {**answers, "default": _REFUSED}
    if not open_to_all:
        operation["security"] = [{"bearer": []}]
