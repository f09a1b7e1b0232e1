"""/deliveries: what came by webhooks, and having it processed again."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app import shapes
from app.api.filters import PageQuery, Text
from app.api.tasks import receipt_answer
from app.audit import note_act
from app.deps import UUID, PrincipalOf, RuntimeOf, desk_of, origin_of
from app.render import answer, delivery_document, page
from orchestrator.domain.delivery import DeliveryFilter
from orchestrator.domain.ids import TaskId, parse_task_id
from orchestrator.operations import receive
from orchestrator.sources import MOST_BYTES

router = APIRouter(tags=["webhooks"])

_MOST_PAYLOAD_BYTES = 3 * MOST_BYTES
"""More than any content that was taken once."""


class DeliveryQuery(PageQuery):
    """The query of `GET /deliveries`."""

    source: Text | None = None
    event: Text | None = None


async def _delivery_id(
    _: PrincipalOf,
    wanted: Annotated[str, Path(alias="id", description="A delivery's id, a UUIDv7.", json_schema_extra=UUID)],
) -> TaskId:
    return parse_task_id(wanted)


DeliveryIdOf = Annotated[TaskId, Depends(_delivery_id)]


@router.get("/deliveries", operation_id="deliveries_list", response_model=shapes.Page[shapes.Delivery])
async def list_deliveries(
    query: Annotated[DeliveryQuery, Query()], principal: PrincipalOf, runtime: RuntimeOf
) -> Response:
    """List what came by webhooks, newest first, without its content."""
    wanted = DeliveryFilter(query.source, query.event)
    found = await receive.page(runtime, principal.tenant, wanted, query.cursor, query.limit)
    return page([delivery_document(each) for each in found.items], found.next_cursor)


@router.get("/deliveries/{id}", operation_id="deliveries_show", response_model=shapes.DeliveryContent)
async def show(principal: PrincipalOf, delivery_id: DeliveryIdOf, runtime: RuntimeOf) -> Response:
    """Show one delivery with its headers and body, for as long as its task is kept."""
    found, task = await receive.show(runtime, principal.tenant, delivery_id)
    content = {"headers": None, "body": None} if task is None else task.payload
    return answer({**delivery_document(found), "headers": content["headers"], "body": content["body"]})


@router.post(
    "/deliveries/{id}/redeliver",
    operation_id="deliveries_redeliver",
    status_code=201,
    response_model=shapes.Created,
)
async def redeliver(request: Request, principal: PrincipalOf, delivery_id: DeliveryIdOf) -> Response:
    """Process the content of a delivery again, by the rules of today: a new task each time."""
    desk = desk_of(request)
    origin = replace(origin_of(request, principal.tenant), most_payload_bytes=_MOST_PAYLOAD_BYTES)
    receipt = await receive.redeliver(desk.runtime, desk.intake, delivery_id, origin)
    note_act(request, delivery_id, task=receipt.task.id)
    return receipt_answer(receipt)
