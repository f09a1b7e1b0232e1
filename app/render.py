"""What leaves by HTTP: our values as the contract's JSON.

Times are RFC 3339 in UTC with a `Z`. Values that are JSON text already are passed through, not parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from orchestrator.domain.artifact import StoredArtifact
from orchestrator.domain.audit import KeptLine, document
from orchestrator.domain.delivery import DeliveryView
from orchestrator.domain.events import Event
from orchestrator.domain.steps import StepView
from orchestrator.domain.task import Run, Task

_OPTIONS = orjson.OPT_UTC_Z


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=_OPTIONS)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with this JSON value as its body."""
    return Response(orjson.dumps(value, option=_OPTIONS), status, headers, "application/json")


def page(items: Sequence[Any], next_cursor: str | None = None) -> Response:
    """Return the one shape of every list."""
    return answer({"items": items, "next_cursor": next_cursor})


def task_document(task: Task) -> dict[str, Any]:
    """Return the contract's task, ready for `dumps`."""
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "queue": task.queue,
        "priority": task.priority,
        "payload": _json(task.payload),
        "result": _json(task.result),
        "error": task.error,
        "progress": _json(task.progress),
        "tags": task.tags,
        "attempt": task.attempt,
        "max_retries": task.max_retries,
        "timeout_seconds": whole(task.timeout_seconds),
        "idempotency_key": task.idempotency_key,
        "parent_id": task.parent_id,
        "callback_url": task.callback_url,
        "run_at": task.run_at,
        "expires_at": task.expires_at,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "worker_id": task.worker_id,
        "trace_id": task.trace_id,
        "cost_usd": task.cost_usd,
        "links": {"self": f"/tasks/{task.id}", "stream": f"/stream/{task.id}"},
    }


def run_document(run: Run) -> dict[str, Any]:
    return {
        "attempt": run.attempt,
        "status": run.status,
        "worker_id": run.worker_id,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": run.error,
        "fence": str(run.fence),
    }


def step_document(step: StepView) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "status": step.status,
        "result": step.result,
        "error": step.error,
        "child_id": step.child_id,
        "wake_at": step.wake_at,
        "at": step.at,
        "fence": str(step.fence),
    }


def artifact_document(artifact: StoredArtifact, link: str | None, until: datetime) -> dict[str, Any]:
    """`link`: where anybody downloads it, without a token, until then; None where there is none."""
    task = f"/tasks/{artifact.file.task_id}"
    return {
        "id": artifact.file.id,
        "name": artifact.name,
        "bucket": artifact.file.bucket,
        "content_type": artifact.content_type,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "created_at": artifact.created_at,
        "download_url": link,
        "download_url_expires_at": link and until,
        "links": {"self": f"{task}/artifacts/{artifact.file.id}", "task": task},
    }


def delivery_document(delivery: DeliveryView) -> dict[str, Any]:
    links = {"self": f"/deliveries/{delivery.id}", "task": f"/tasks/{delivery.task_id}"}
    return {**asdict(delivery), "links": links}


def event_document(event: Event) -> dict[str, Any]:
    """An id is text: it is larger than the whole numbers that JavaScript keeps exactly."""
    return {"id": str(event.place), "event": event.kind, "at": event.at, "data": event.data}


def audit_document(kept: KeptLine) -> dict[str, Any]:
    """What is hashed, and between what it stands."""
    return {"number": kept.number, **document(kept.line), "hash": kept.hash.hex()}


def event_frame(event: Event) -> bytes:
    """Return one server-sent event. JSON text holds no line break, so nothing told can end the frame early."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.place, event.kind.encode(), dumps(event.data))


def whole(seconds: float) -> int | float:
    """Return a whole number of seconds without its `.0`."""
    return int(seconds) if seconds == int(seconds) else seconds


def _json(value: Any) -> Any:
    return orjson.Fragment(value) if type(value) is bytes else value
