"""The OpenAPI document: what FastAPI derives, and what it cannot see.

Bodies that routes read themselves are named here by their models; every route gets the bearer scheme, unless it is
open to all, and the one shape of refusals.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

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


def body_schema(model: type[BaseModel], example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a route that reads its own body says about it."""
    media: dict[str, Any] = {"schema": model.model_json_schema(ref_template=REF)}
    if example is not None:
        media["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document; built once, at the first request for it."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, separate_input_output_schemas=False
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _hoist(operation, schemas)
                operation["responses"] = {
                    status: told for status, told in operation["responses"].items() if status != "422"
                } | {"default": _REFUSED}
                if path not in OPEN_PATHS and not path.startswith("/webhooks/"):
                    operation["security"] = [{"bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _hoist(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move a body's own definitions to where its references point."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = body.get("schema", {})
    schemas.update(schema.pop("$defs", {}))
    if "title" in schema:
        schemas[schema["title"]] = schema
        body["schema"] = {"$ref": REF.format(model=schema["title"])}
