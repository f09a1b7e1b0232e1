"""/webhooks/{source}: prove a delivery, keep it as a task, answer.

The signature stands for the token. Nothing is parsed, let alone stored, before the signature over the raw body was
found good; a delivery that was seen before answers with its task.
"""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app import shapes
from app.api.tasks import receipt_answer
from app.audit import note_act, note_caller
from app.deps import Desk, desk_of, origin_of
from app.request_body import BodyRoute, read_body
from app.webhooks.source import Delivery, Greeting, Incoming, Source
from orchestrator.domain.delivery import Arrival
from orchestrator.domain.errors import Conflict, InvalidInput, NotConfigured, SignatureRefused, TooLarge
from orchestrator.domain.principal import Kind, Principal
from orchestrator.operations.receive import receive as keep_delivery
from orchestrator.operations.submit import Receipt

router = APIRouter(tags=["webhooks"], route_class=BodyRoute)

_WRAPPING_BYTES = 4096
"""What a payload holds besides the body: the event, the delivery's id, a few headers."""
_WIDENING = 2
"""How much longer a text may get as JSON."""
_TELLING = ("location", "idempotent-replayed")


_SAID = {
    "parameters": [{"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}
_SEEN = {
    "model": shapes.Task,
    "description": "The task that it became before; to Slack its challenge, or nothing",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.post(
    "/webhooks/{source}",
    operation_id="webhooks_receive",
    status_code=202,
    response_model=shapes.Created,
    responses={200: _SEEN},
    openapi_extra=_SAID,
)
async def receive(request: Request) -> Response:
    """Take one delivery: 202 with the task that will process it, 200 with the same task for a repeat.

    Slack's challenge, commands and interactions are answered with 200 and what Slack expects.
    """
    desk = desk_of(request)
    source = desk.register.find(request.path_params["source"])
    outcome = "failed"
    try:
        answer, outcome = await _receive(request, desk, source)
    except (InvalidInput, SignatureRefused, TooLarge):
        outcome = "refused"
        raise
    except Conflict:
        outcome = "repeated"
        raise
    finally:
        desk.runtime.metrics.webhook(source.name, outcome)
    return answer


async def _receive(request: Request, desk: Desk, source: Source) -> tuple[Response, str]:
    if not source.secrets:
        raise NotConfigured(source.variable, f"to the secret that {source.name} signs its webhooks with")
    body = await read_body(request, source.most_bytes)
    at = desk.runtime.clock.now().timestamp()
    incoming = Incoming(dict(request.scope["headers"]), body, at, source.tolerance_seconds)
    secret = _proved(source, incoming)
    read = source.scheme.read(incoming)
    if isinstance(read, Greeting):
        return Response(read.answer, media_type="text/plain"), "answered"
    note_caller(request, Principal(source.tenant, Kind.SOURCE, source.name, frozenset()))
    receipt = await _keep(request, desk, source, read, secret)
    note_act(request, receipt.task.id)
    return _answer(receipt, read), "repeated" if receipt.replayed else "accepted"


def _proved(source: Source, incoming: Incoming) -> int:
    """Return the place of the secret that it was signed with. Raises SignatureRefused, as the sender can bear it."""
    names = source.scheme.signatures
    if not any(incoming.header(name) for name in names):
        raise source.scheme.refusal(
            f"the header {' or '.join(names)} is missing: give {source.name} the secret that is in {source.variable}"
        )
    place = source.prove(incoming)
    if place is None:
        raise source.scheme.refusal(
            f"the signature does not match the body: check that {source.name} and {source.variable} agree; a signed"
            f" time has to be within {source.tolerance_seconds} s of ours"
        )
    return place


async def _keep(request: Request, desk: Desk, source: Source, read: Delivery, secret: int) -> Receipt:
    origin = replace(
        origin_of(request, source.tenant),
        most_payload_bytes=_WIDENING * source.most_bytes + _WRAPPING_BYTES,
        always=True,
    )
    arrival = Arrival(source.name, read.id, read.event, source.scheme_name, secret)
    return await keep_delivery(desk.runtime, desk.intake, arrival, read.headers, read.body, origin)


def _answer(receipt: Receipt, read: Delivery) -> Response:
    answer = receipt_answer(receipt, created=202)
    if not read.silent:
        return answer
    return Response(headers={name: text for name, text in answer.headers.items() if name in _TELLING})
