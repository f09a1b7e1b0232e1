"""/tasks: create, list, show, cancel, run again."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import shapes
from app.api.filters import TaskQuery, open_filter
from app.audit import note_act
from app.deps import PrincipalOf, RuntimeOf, TaskIdOf, authenticate, desk_of, origin_of
from app.idempotency import with_header_key
from app.issues import validated
from app.openapi import Body
from app.render import answer, page, task_document
from app.request_body import BodyRoute, read_body, read_json
from app.strict_json import parse_json
from orchestrator.domain.outbox import Durability
from orchestrator.operations import cancel as cancelling
from orchestrator.operations import read, replay
from orchestrator.operations.request import TaskRequest
from orchestrator.operations.submit import Receipt

router = APIRouter(tags=["tasks"])
creating = APIRouter(tags=["tasks"], route_class=BodyRoute)

_EXAMPLE = {
    "type": "http_request",
    "payload": {"method": "GET", "url": "https://example.com/"},
    "priority": 3,
    "idempotency_key": "front-page-1",
    "tags": {"team": "docs"},
}


@creating.post(
    "/tasks",
    operation_id="tasks_create",
    status_code=201,
    response_model=shapes.Created,
    responses={200: {"model": shapes.Task, "description": "The task that this key made before"}},
    openapi_extra=Body(TaskRequest, _EXAMPLE),
)
async def create(request: Request) -> Response:
    """Create a task.

    201 once it is kept. 200 with `Idempotent-Replayed: true` and the task from then, when the same idempotency key
    was seen with the same body; 422 when it was seen with another body.
    """
    principal = await authenticate(request)
    desk = desk_of(request)
    body = with_header_key(request, await read_json(request, desk.runtime.limits.max_body_bytes))
    receipt = await desk.intake.submit(validated(TaskRequest, body), origin_of(request, principal.tenant))
    note_act(request, receipt.task.id)
    return receipt_answer(receipt)


def receipt_answer(receipt: Receipt, created: int = 201) -> Response:
    """Return the answer to a task that was kept: `created`, or 200 for a repeat."""
    headers = {"Location": f"/tasks/{receipt.task.id}"}
    if receipt.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(receipt_document(receipt), 200 if receipt.replayed else created, headers)


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Return the task, and where it is kept if that is not Postgres yet."""
    document = task_document(receipt.task)
    if receipt.durability is not Durability.POSTGRES:
        document["durability"] = receipt.durability
    return document


@router.get("/tasks", operation_id="tasks_list", response_model=shapes.Page[shapes.Task])
async def list_tasks(query: Annotated[TaskQuery, Query()], principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List tasks, newest first."""
    found = await read.page(runtime, principal.tenant, open_filter(query), query.cursor, query.limit)
    return page([task_document(task) for task in found.items], found.next_cursor)


@router.get("/tasks/{id}", operation_id="tasks_show", response_model=shapes.Task)
async def show(task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Show one task as it stands now."""
    return answer(task_document(await read.get(runtime, principal.tenant, task_id)))


@router.post("/tasks/{id}/cancel", operation_id="tasks_cancel", response_model=shapes.Task)
async def cancel(task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Cancel a task that has not ended, also while it runs."""
    return answer(task_document(await cancelling.cancel(runtime, principal.tenant, task_id)))


class RetryRequest(BaseModel):
    """Where a task that is run again begins; by default at what it has not finished."""

    model_config = ConfigDict(extra="forbid", strict=True)

    from_step: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Forget this step and whatever began or was finished later."""
    start_over: bool = False
    """Forget every step."""

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.from_step is not None and self.start_over:
            raise ValueError('needs "from_step" or "start_over", not both')
        return self


@router.post(
    "/tasks/{id}/retry",
    operation_id="tasks_retry",
    response_model=shapes.Task,
    openapi_extra=Body(RetryRequest, {}, required=False),
)
async def retry(request: Request, task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Run a task that has ended again, with its attempts counted anew; what it had finished is not done again."""
    body = await read_body(request, runtime.limits.max_body_bytes)
    wanted = validated(RetryRequest, parse_json(body)) if body else RetryRequest()
    reopened = await replay.retry(
        runtime, principal.tenant, task_id, from_step=wanted.from_step, start_over=wanted.start_over
    )
    return answer(task_document(reopened))
