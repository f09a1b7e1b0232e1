"""/audit: who changed what, when and from where."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from app import shapes
from app.api.filters import PageQuery, QueryMoment, Text
from app.deps import PrincipalOf, RuntimeOf
from app.render import audit_document, page
from orchestrator.domain.audit import AuditFilter
from orchestrator.operations.audit import read_lines

router = APIRouter(tags=["audit"])


class AuditQuery(PageQuery):
    """The query of `GET /audit`. Its pages are larger: a trail is fetched whole to be verified."""

    actor: Annotated[Text | None, Field(description="The id of a key, a user or a source; `admin` for the token.")] = (
        None
    )
    action: Annotated[Text | None, Field(description="An operation's id, such as `tasks_cancel`.")] = None
    target: Annotated[Text | None, Field(description="What it was done to: a task's id, a queue's name.")] = None
    after: QueryMoment | None = None
    before: QueryMoment | None = None
    order: Annotated[Literal["newest", "oldest"], Field(description="Which comes first.")] = "newest"
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


@router.get("/audit", operation_id="audit_list", response_model=shapes.Page[shapes.AuditLine])
async def list_lines(query: Annotated[AuditQuery, Query()], principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List the audit of the tenant: every request that changed something, and refusals for a lack of rights."""
    wanted = AuditFilter(query.actor, query.action, query.target, query.after, query.before)
    found = await read_lines(
        runtime, principal.tenant, wanted, query.cursor, query.limit, oldest_first=query.order == "oldest"
    )
    return page([audit_document(kept) for kept in found.items], found.next_cursor)
