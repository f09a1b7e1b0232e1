"""/tasks/{id}/...: a task's attempts, what it told, and why it does not run."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app import shapes
from app.deps import Limit, PrincipalOf, RuntimeOf, TaskIdOf
from app.render import answer, event_document, page, run_document, step_document
from orchestrator.domain.events import EventKind, parse_event_id
from orchestrator.operations import read
from orchestrator.operations.why import why

router = APIRouter(tags=["tasks"])


@router.get("/tasks/{id}/runs", operation_id="tasks_runs", response_model=shapes.Page[shapes.Run])
async def runs(task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List a task's attempts, oldest first."""
    return page([run_document(run) for run in await read.runs(runtime, principal.tenant, task_id)])


@router.get("/tasks/{id}/steps", operation_id="tasks_steps", response_model=shapes.Page[shapes.Step])
async def steps(task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List what a task has finished or begun for good: steps, child tasks, sleeps."""
    return page([step_document(step) for step in await read.steps(runtime, principal.tenant, task_id)])


@router.get("/tasks/{id}/logs", operation_id="tasks_logs", response_model=shapes.Page[shapes.Event])
async def logs(
    task_id: TaskIdOf,
    principal: PrincipalOf,
    runtime: RuntimeOf,
    after: Annotated[str, Query(description="The id of the last event you have.")] = "",
    limit: Limit = 100,
) -> Response:
    """List what the task's attempts logged, oldest first; `next_cursor` is the `after` of the next page."""
    told = await read.events(
        runtime, principal.tenant, task_id, parse_event_id(after), limit + 1, kinds=[EventKind.LOG]
    )
    cursor = str(told[limit - 1].place) if len(told) > limit else None
    return page([event_document(event) for event in told[:limit]], cursor)


@router.get("/tasks/{id}/why", operation_id="tasks_why", response_model=shapes.Why)
async def explain(task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Name the first cause why the task does not run now."""
    return answer(await why(runtime, principal.tenant, task_id))
