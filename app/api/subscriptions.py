"""/subscriptions: who is told of a tenant's final states, and the secrets that sign it."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import shapes
from app.audit import note_act
from app.deps import UUID, PrincipalOf, RuntimeOf
from app.issues import validated
from app.openapi import Body
from app.render import answer, page
from app.request_body import read_json
from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.ids import parse_task_id
from orchestrator.domain.states import FINAL, State
from orchestrator.domain.subscription import DELIVER, Subscription, SubscriptionId
from orchestrator.operations import subscription as subscribing
from orchestrator.operations.request import NO_NUL, Destination, TypeName
from orchestrator.operations.subscription import Shown

router = APIRouter(tags=["subscriptions"])

_EXAMPLE = {"url": "https://example.com/hooks/aurea", "states": ["failed"], "types": ["mrg_deploy"]}


class NewSubscription(BaseModel):
    """Whom to tell, and of what; without `types` and `states`: of everything that ends."""

    model_config = ConfigDict(extra="forbid")

    url: Destination
    types: Annotated[list[TypeName], Field(min_length=1, max_length=100)] | None = None
    states: Annotated[list[State], Field(min_length=1, max_length=4)] | None = None
    description: Annotated[str, Field(max_length=500, pattern=NO_NUL)] = ""

    @model_validator(mode="after")
    def _final(self) -> Self:
        strange = [state.value for state in self.states or () if state not in FINAL]
        if strange:
            raise ValueError(f"{strange[0]} is not a final state: choose of succeeded, failed, cancelled, expired")
        return self


async def _subscription_id(
    _: PrincipalOf,
    wanted: Annotated[str, Path(alias="id", description="A subscription's id, a UUIDv7.", json_schema_extra=UUID)],
) -> SubscriptionId:
    return SubscriptionId(parse_task_id(wanted))


SubscriptionIdOf = Annotated[SubscriptionId, Depends(_subscription_id)]


@router.post(
    "/subscriptions",
    operation_id="subscriptions_create",
    status_code=201,
    response_model=shapes.SubscriptionShown,
    openapi_extra=Body(NewSubscription, _EXAMPLE),
)
async def create(request: Request, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Subscribe an address to final states. Its secret is shown here and by a rotation alone.

    It is told of what ends from now on, by Standard Webhooks: `task.succeeded`, `task.failed`, `task.cancelled` or
    `task.expired`. 503 when AUREA_SIGNING_SECRETS is not set.
    """
    wanted = validated(NewSubscription, await read_json(request, runtime.limits.max_body_bytes))
    _check_types(wanted.types or (), runtime.handlers.known())
    shown = await subscribing.create(
        runtime,
        principal.tenant,
        wanted.url,
        types=wanted.types,
        states=wanted.states,
        description=wanted.description,
    )
    note_act(request, shown.subscription.id)
    return answer(_shown(shown), 201, {"Location": f"/subscriptions/{shown.subscription.id}"})


@router.get("/subscriptions", operation_id="subscriptions_list", response_model=shapes.Page[shapes.Subscription])
async def list_subscriptions(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List all of them, newest first."""
    return page([_document(each) for each in await subscribing.list_all(runtime, principal.tenant)])


@router.get("/subscriptions/{id}", operation_id="subscriptions_show", response_model=shapes.Subscription)
async def show(wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Show one, without its secret."""
    return answer(_document(await subscribing.get(runtime, principal.tenant, wanted)))


@router.delete("/subscriptions/{id}", operation_id="subscriptions_delete", status_code=204)
async def delete(wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Tell it no more. What still waits to be delivered is cancelled."""
    await subscribing.delete(runtime, principal.tenant, wanted)
    return Response(status_code=204)


@router.post("/subscriptions/{id}/enable", operation_id="subscriptions_enable", response_model=shapes.Subscription)
async def enable(wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Go on with one that was disabled. What it missed is told by `/replay`."""
    return answer(_document(await subscribing.enable(runtime, principal.tenant, wanted)))


@router.post("/subscriptions/{id}/rotate", operation_id="subscriptions_rotate", response_model=shapes.SubscriptionShown)
async def rotate(wanted: SubscriptionIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Make a new secret and show it. For 24 hours the one before signs as well; an older one no more."""
    return answer(_shown(await subscribing.rotate(runtime, principal.tenant, wanted)))


@router.post("/callbacks/secret", operation_id="callbacks_rotate", response_model=shapes.Secret)
async def rotate_callbacks(request: Request, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Make a new secret for what goes to the `callback_url`s of the tenant's tasks, and show it.

    For 24 hours the one before, if there was one, signs as well.
    """
    secret = await subscribing.rotate_callbacks(runtime, principal.tenant)
    note_act(request, "callbacks")
    return answer({"secret": secret})


def _check_types(types: Sequence[str], known: Sequence[str]) -> None:
    """Raises InvalidInput for a type that nobody has, and for deliveries: they do not announce themselves."""
    there = [name for name in known if name != DELIVER]
    for place, name in enumerate(types):
        if name not in there:
            fix = f"is not a type that can be subscribed to; there are: {', '.join(there)}"
            raise InvalidInput(f"{name!r} {fix}", [Issue(f"/types/{place}", fix)])


def _shown(shown: Shown) -> dict[str, Any]:
    return {**_document(shown.subscription), "secret": shown.secret}


def _document(subscription: Subscription) -> dict[str, Any]:
    place = f"/subscriptions/{subscription.id}"
    return {
        "id": subscription.id,
        "url": subscription.url,
        "types": subscription.types,
        "states": subscription.states,
        "description": subscription.description,
        "enabled": subscription.disabled_at is None,
        "disabled_at": subscription.disabled_at,
        "disabled_reason": subscription.disabled_reason,
        "failures": subscription.failures,
        "rotated_at": subscription.generation.rotated_at,
        "created_at": subscription.created_at,
        "links": {"self": place, "deliveries": f"{place}/deliveries"},
    }
