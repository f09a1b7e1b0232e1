"""/workers: who is alive and what each runs."""

from fastapi import APIRouter, Response

from app import shapes
from app.deps import PrincipalOf, RuntimeOf
from app.render import answer, page
from orchestrator.operations import read

router = APIRouter(tags=["workers"])


@router.get("/workers", operation_id="workers_list", response_model=shapes.Page[shapes.Worker])
async def list_workers(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List live workers; `queues` is empty for one that serves all.

    Of what they run only the tenant's own tasks are named; all of them to admins.
    """
    return page(await read.workers(runtime, None if principal.is_admin else principal.tenant))


@router.get("/agents/count", operation_id="agents_count", response_model=shapes.Count)
async def count(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Count live workers."""
    return answer({"count": len(await read.workers(runtime))})
