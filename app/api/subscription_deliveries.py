"""/subscriptions/{id}/deliveries: what a subscription was told, what it answered; and telling it again."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import shapes
from app.api.filters import PageQuery, read_ids
from app.api.subscriptions import SubscriptionIdOf
from app.audit import note_act
from app.deps import PrincipalOf, RuntimeOf, desk_of
from app.issues import validated
from app.openapi import Body
from app.render import answer, page
from app.request_body import read_json
from orchestrator.domain.states import State
from orchestrator.domain.task import Task
from orchestrator.operations import subscription as subscribing
from orchestrator.operations.request import Moment

router = APIRouter(tags=["subscriptions"])


class SubscriptionDeliveryQuery(PageQuery):
    """The query of `GET /subscriptions/{id}/deliveries`."""

    status: State | None = None


class TellAgain(BaseModel):
    """What to tell again: what did not arrive since a moment, or these deliveries."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None
    ids: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if (self.since is None) == (self.ids is None):
            raise ValueError('needs either "since" or "ids"')
        return self


@router.get(
    "/subscriptions/{id}/deliveries",
    operation_id="subscriptions_deliveries",
    response_model=shapes.Page[shapes.SubscriptionDelivery],
)
async def list_deliveries(
    wanted: SubscriptionIdOf,
    query: Annotated[SubscriptionDeliveryQuery, Query()],
    principal: PrincipalOf,
    runtime: RuntimeOf,
) -> Response:
    """List what it was told and is to be told, newest first. Each is a task; its attempts are its runs."""
    await subscribing.get(runtime, principal.tenant, wanted)
    found = await subscribing.deliveries(runtime, principal.tenant, wanted, query.cursor, query.limit, query.status)
    return page([_document(task) for task in found.items], found.next_cursor)


@router.post(
    "/subscriptions/{id}/replay",
    operation_id="subscriptions_replay",
    response_model=shapes.ToldAgain,
    openapi_extra=Body(TellAgain, {"since": "2026-11-20T09:00:00Z"}),
)
async def replay(request: Request, wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Tell again, under the same event ids: with `since` what did not arrive, and what ended while it was disabled.

    With `ids`: these deliveries, those that arrived included. 409 while the subscription is disabled.
    """
    asked = validated(TellAgain, await read_json(request, runtime.limits.max_body_bytes))
    if asked.since is not None:
        again, examined = await subscribing.tell_since(runtime, principal.tenant, wanted, asked.since)
        note_act(request, wanted, since=f"{asked.since:%Y-%m-%dT%H:%M:%S.%fZ}", replayed=again, examined=examined)
        return answer({"replayed": again, "examined": examined})
    ids = read_ids(asked.ids or [])
    again = await subscribing.tell_again(runtime, principal.tenant, wanted, ids)
    note_act(request, wanted, *ids, replayed=again)
    return answer({"replayed": again, "examined": 0})


@router.post(
    "/subscriptions/{id}/test",
    operation_id="subscriptions_test",
    status_code=202,
    response_model=shapes.SubscriptionDelivery,
)
async def try_out(request: Request, wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Send it an event of the type `subscription.test`, and answer with the delivery."""
    task = await subscribing.try_out(runtime, desk_of(request).intake, principal.tenant, wanted)
    note_act(request, wanted, task.id)
    return answer(_document(task), 202)


def _event(payload: dict[str, Any]) -> tuple[str | None, str]:
    """Its id and its type; of a payload that cannot be read none, and why it cannot."""
    if "unreadable" in payload:
        return None, f"unreadable: {payload['unreadable']}"
    return payload["event"]["id"], payload["event"]["type"]


def _document(task: Task) -> dict[str, Any]:
    event_id, event = _event(task.payload)
    return {
        "id": task.id,
        "event_id": event_id,
        "event": event,
        "task_id": task.tags.get("task"),
        "status": task.status,
        "attempt": task.attempt,
        "answer": task.result,
        "error": task.error,
        "next_attempt_at": task.run_at if task.status is State.RETRYING else None,
        "created_at": task.created_at,
        "finished_at": task.finished_at,
        "links": {"self": f"/tasks/{task.id}", "runs": f"/tasks/{task.id}/runs"},
    }
