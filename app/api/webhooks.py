"""/webhooks/{source}: prove a delivery, keep it as a task, answer.

The signature stands for the token. Nothing is parsed, let alone stored, before the signature over the raw body was
found good; a delivery that was seen before answers with its task.
"""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app import shapes
from app.api.tasks import receipt_answer
from app.deps import Desk, desk_of, origin_of
from app.request_body import BodyRoute, read_body
from app.webhooks.source import Delivery, Incoming
from orchestrator.domain.errors import InvalidInput, KeyConflict, NotConfigured, NotFound, SignatureRefused, TooLarge
from orchestrator.domain.ids import DEFAULT_TENANT, TaskId
from orchestrator.operations import read
from orchestrator.operations.request import TaskRequest
from orchestrator.operations.submit import Receipt

router = APIRouter(tags=["webhooks"], route_class=BodyRoute)

_WRAPPING_BYTES = 4096
"""What a payload holds besides the body: the event, the delivery's id, a few headers."""


_SAID = {
    "parameters": [{"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}


@router.post(
    "/webhooks/{source}",
    operation_id="webhooks_receive",
    status_code=202,
    response_model=shapes.Created,
    responses={200: {"model": shapes.Task, "description": "The task of the same delivery, seen before"}},
    openapi_extra=_SAID,
)
async def receive(request: Request) -> Response:
    """Take one delivery: 202 with the task that will process it, 200 with the same task for a repeat."""
    name = request.path_params["source"]
    desk = desk_of(request)
    if name not in desk.sources:
        raise NotFound(f"no webhook source is called {name[:64]!r}; there are: {', '.join(sorted(desk.sources))}")
    outcome = "failed"
    try:
        receipt = await _receive(request, desk, name)
        outcome = "repeated" if receipt.replayed else "accepted"
    except (InvalidInput, SignatureRefused, TooLarge):
        outcome = "refused"
        raise
    finally:
        desk.runtime.metrics.webhook(name, outcome)
    return receipt_answer(receipt, created=202)


async def _receive(request: Request, desk: Desk, name: str) -> Receipt:
    source = desk.sources[name]
    secret = desk.secret_of(source.variable)
    if secret is None:
        raise NotConfigured(source.variable, f"to the secret that {name} signs its webhooks with")
    incoming = Incoming(dict(request.scope["headers"]), await read_body(request, source.most_bytes))
    if source.signature.lower().encode() not in incoming.headers:
        raise SignatureRefused(
            f"the header {source.signature} is missing: give {name} the secret that is in {source.variable}"
        )
    if not source.prove(incoming, secret):
        raise SignatureRefused(f"the signature does not match the body: check that {name} and {source.variable} agree")
    origin = replace(
        origin_of(request, DEFAULT_TENANT), most_payload_bytes=source.most_bytes + _WRAPPING_BYTES, always=True
    )
    try:
        return await desk.intake.submit(_task(name, source.read(incoming)), origin)
    except KeyConflict as seen:
        # A version of ours that kept other headers stored it: the delivery id alone tells a repeat.
        task = await read.get(desk.runtime, origin.tenant, TaskId(seen.task_id))
        return Receipt(task, replayed=True)


def _task(name: str, delivery: Delivery) -> TaskRequest:
    return TaskRequest(
        type="webhook_process",
        payload={
            "source": name,
            "event": delivery.event,
            "delivery": delivery.id,
            "headers": delivery.headers,
            "body": delivery.body,
        },
        idempotency_key=f"{name}:{delivery.id}",
    )
