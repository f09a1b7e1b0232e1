"""/tasks/batch: many tasks in one request, each kept or refused by itself."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, TypeAdapter, ValidationError

from app import shapes
from app.api.tasks import receipt_document
from app.audit import note_act
from app.deps import authenticate, desk_of, origin_of
from app.edge import trace_id_of
from app.idempotency import header_key
from app.issues import validated
from app.openapi import Body
from app.problems import problem_of
from app.render import answer
from app.request_body import BodyRoute, read_json
from orchestrator.domain.errors import AureaError, InvalidInput, Issue, Unavailable
from orchestrator.operations.request import TaskRequest
from orchestrator.operations.submit import Receipt

router = APIRouter(tags=["tasks"], route_class=BodyRoute)

_EXAMPLE = {"tasks": [{"type": "http_request", "payload": {"url": f"https://example.com/{n}"}} for n in (1, 2)]}


class Batch(BaseModel):
    """Tasks to create together; each is checked by itself afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks: Annotated[list[SkipValidation[TaskRequest]], Field(max_length=1000)]


_TASKS = TypeAdapter(list[TaskRequest])


@router.post(
    "/tasks/batch",
    operation_id="tasks_create_batch",
    status_code=201,
    response_model=shapes.BatchAnswer,
    openapi_extra=Body(Batch, _EXAMPLE),
)
async def create_batch(request: Request) -> Response:
    """Create up to 1000 tasks.

    The answer's items are in the order of the request, each with the status it would have had alone; valid ones are
    kept when others are refused. Pointers in an item's problem start at that task. 503 when a store is away and
    nothing was kept.
    """
    principal = await authenticate(request)
    desk = desk_of(request)
    if header_key(request) is not None:
        fix = "give each task its own idempotency_key: the header cannot name one for all"
        raise InvalidInput(fix, [Issue("/headers/Idempotency-Key", fix)])
    batch = validated(Batch, await read_json(request, desk.runtime.limits.max_batch_bytes))
    origin = origin_of(request, principal.tenant)
    receipts = await desk.intake.submit_many(_checked(batch.tasks), origin)
    away = next((receipt for receipt in receipts if isinstance(receipt, Unavailable)), None)
    if away is not None and not any(isinstance(receipt, Receipt) for receipt in receipts):
        raise away
    kept = [receipt.task.id for receipt in receipts if isinstance(receipt, Receipt)]
    note_act(request, *kept, tasks=len(kept), refused=len(receipts) - len(kept))
    trace_id = trace_id_of(request.scope)
    return answer({"items": [_item(receipt, trace_id) for receipt in receipts]}, 201)


def _checked(tasks: list[Any]) -> Sequence[TaskRequest | InvalidInput]:
    """Check all in one call; only when that fails each by itself, to tell the good from the bad."""
    try:
        return _TASKS.validate_python(tasks)
    except ValidationError:
        return [_checked_alone(task) for task in tasks]


def _checked_alone(task: Any) -> TaskRequest | InvalidInput:
    try:
        return validated(TaskRequest, task)
    except InvalidInput as error:
        return error


def _item(receipt: Receipt | AureaError, trace_id: str) -> dict[str, Any]:
    if isinstance(receipt, Receipt):
        return {"status_code": 200 if receipt.replayed else 201, "task": receipt_document(receipt)}
    problem = problem_of(receipt)
    return {"status_code": problem.status, "problem": {**problem.document, "trace_id": trace_id}}
