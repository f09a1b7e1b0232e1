"""/tasks/{id}/artifacts: the files that a task kept."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from starlette.responses import StreamingResponse

from app import shapes
from app.deps import UUID, Cursor, Limit, PrincipalOf, RuntimeOf, TaskIdOf
from app.render import artifact_document, page
from orchestrator.domain.ids import parse_task_id
from orchestrator.domain.labels import disposition
from orchestrator.operations import artifact, read

router = APIRouter(tags=["tasks"])

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    307: {"description": "To the store itself, by a link that is good for a while and needs no token."},
}


@router.get("/tasks/{id}/artifacts", operation_id="tasks_artifacts", response_model=shapes.Page[shapes.Artifact])
async def artifacts(
    task_id: TaskIdOf, principal: PrincipalOf, runtime: RuntimeOf, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """List the files that a task kept, oldest first."""
    found = await read.artifacts(runtime, principal.tenant, task_id, cursor, limit)
    links, until = await artifact.links(runtime, found.items)
    documents = [artifact_document(each, link, until) for each, link in zip(found.items, links, strict=True)]
    return page(documents, found.next_cursor)


@router.get(
    "/tasks/{id}/artifacts/{artifact_id}",
    operation_id="tasks_artifact",
    response_class=StreamingResponse,
    responses=_BYTES,
)
async def download(
    task_id: TaskIdOf,
    artifact_id: Annotated[str, Path(description="An artifact's id.", json_schema_extra=UUID)],
    principal: PrincipalOf,
    runtime: RuntimeOf,
) -> Response:
    """Download a file, always as an attachment: from here, or from the store itself where that gives links."""
    found = await artifact.find(runtime, principal.tenant, task_id, parse_task_id(artifact_id))
    link = await artifact.link(runtime, found)
    if link is not None:
        return Response(status_code=307, headers={"Location": link})
    reading = await artifact.read(runtime, found)
    headers = {"Content-Length": str(reading.size_bytes), "Content-Disposition": disposition(found.name)}
    # Set here: Starlette would add a charset of its own to a text.
    return StreamingResponse(reading.chunks, headers={**headers, "Content-Type": found.content_type})
