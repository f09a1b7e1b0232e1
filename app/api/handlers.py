"""/handlers: every task type that can be asked for."""

from typing import Any

from fastapi import APIRouter, Response

from app import shapes
from app.deps import PrincipalOf, RuntimeOf
from app.render import page, whole
from orchestrator.domain.priority import DEFAULT
from orchestrator.domain.task import DEFAULT_QUEUE
from orchestrator.runtime import Limits
from orchestrator.sdk import Handler

router = APIRouter(tags=["handlers"])


@router.get("/handlers", operation_id="handlers_list", response_model=shapes.Page[shapes.Handler])
async def list_handlers(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List every task type: the JSON Schema of its payload, its retry policy, its limits and what isolates it."""
    return page([_document(runtime.handlers[name], runtime.limits) for name in sorted(runtime.handlers)])


def _document(handler: Handler, limits: Limits) -> dict[str, Any]:
    """Where a handler leaves something to the system, the system's value is told."""
    max_retries = limits.max_retries if handler.max_retries is None else handler.max_retries
    timeout = limits.timeout_seconds if handler.timeout_seconds is None else handler.timeout_seconds
    return {
        "type": handler.name,
        "description": handler.description,
        "kind": handler.kind,
        "queue": handler.queue or DEFAULT_QUEUE,
        "priority": DEFAULT if handler.priority is None else handler.priority,
        "max_retries": max_retries,
        "timeout_seconds": whole(timeout),
        "retry": {
            "max_retries": max_retries,
            "base_seconds": handler.policy.base_seconds,
            "cap_seconds": handler.policy.cap_seconds,
        },
        "limits": {
            "timeout_seconds": whole(timeout),
            "memory_mb": handler.memory_mb,
            "payload_bytes": limits.max_body_bytes,
            "result_bytes": limits.max_result_bytes,
        },
        "schema": handler.schema(),
    }
