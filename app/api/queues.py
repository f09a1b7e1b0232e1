"""/queues: how much waits and runs in each, and holding one back."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from app import shapes
from app.deps import PrincipalOf, RuntimeOf
from app.render import answer, page
from orchestrator.domain.principal import Scope
from orchestrator.operations import pause as pausing
from orchestrator.operations import read
from orchestrator.queue.port import QueueFigures

router = APIRouter(tags=["queues"])


async def _name(name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]) -> str:
    return name


QueueName = Annotated[str, Depends(_name)]


@router.get("/queues", operation_id="queues_list", response_model=shapes.Page[shapes.Queue])
async def list_queues(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List the queues: tasks due and held by nobody, the age of the first in order, tasks running, paused or not.

    Queues belong to the system, and the figures are those of all tenants together. Names that callers made up are
    shown with the scope `system:read` alone; without it there are `default` and the queues of handlers.
    """
    figures = await read.queues(runtime, every=Scope.SYSTEM_READ in principal.scopes)
    return page([_document(each) for each in figures])


@router.post("/queues/{name}/pause", operation_id="queues_pause", response_model=shapes.Paused)
async def pause(name: QueueName, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Hand out nothing more from this queue; it goes on taking tasks, and what runs goes on."""
    await pausing.pause(runtime, name)
    return answer({"name": name, "paused": True})


@router.post("/queues/{name}/resume", operation_id="queues_resume", response_model=shapes.Paused)
async def resume(name: QueueName, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Hand out tasks of this queue again."""
    await pausing.resume(runtime, name)
    return answer({"name": name, "paused": False})


def _document(figures: QueueFigures) -> dict[str, object]:
    return {
        "name": figures.name,
        "depth": figures.depth,
        "oldest_age_seconds": figures.oldest_us / 1e6,
        "running": figures.running,
        "paused": figures.paused,
        "held": figures.held,
    }
