"""What a route needs to know about its request: the runtime, the caller, the id in the path, the page asked for."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import SecretStr

from app.access import NEEDED
from app.audit import note_caller
from app.tolls import Tolls, has_paid
from app.webhooks.register import Register
from orchestrator.domain import api_key, jws
from orchestrator.domain.errors import Forbidden, NotConfigured, Unauthorized
from orchestrator.domain.ids import DEFAULT_TENANT, TaskId, Tenant, parse_task_id, parse_tenant
from orchestrator.domain.principal import Principal, Scope, admin
from orchestrator.operations.audit import Auditor
from orchestrator.operations.identities import Identities
from orchestrator.operations.request import Origin
from orchestrator.operations.submit import Intake
from orchestrator.operations.user_tokens import UserTokens
from orchestrator.runtime import Runtime

UUID = {"format": "uuid"}
"""Said in the document; refused in our own words."""
_SUPABASE_KEYS = ("sb_secret_", "sb_publishable_")


@dataclass(frozen=True, slots=True)
class Desk:
    """What every request of one API process works with; opened by the lifespan, kept as `app.state.desk`."""

    runtime: Runtime
    intake: Intake
    auditor: Auditor
    token: SecretStr | None
    tolls: Tolls
    register: Register
    """Where webhooks may come from."""
    identities: Identities
    users: UserTokens
    env: str
    """As it stands in the API keys that are made here."""
    sse: bool
    metrics: bool


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def authenticate(request: Request) -> Principal:
    """Return the caller, who may do what this route does.

    Raises Unauthorized without a good bearer token, Forbidden when it lacks the scope that `app.access` names for the
    route (or that names none), NotConfigured when no token is set here, RateLimited when he, his tenant, or one with a
    bad token from his address, asks too often.
    """
    desk = desk_of(request)
    try:
        principal = await _identify(request)
    except Unauthorized:
        if not has_paid(request.scope):
            await desk.tolls.charge_address(desk.runtime, request.scope)
        raise
    note_caller(request, principal)
    await desk.tolls.charge_principal(desk.runtime, request.scope, principal)
    _check_tenant(request, principal)
    needed = NEEDED.get(request.scope["route"].operation_id)
    if needed is None or needed not in principal.scopes:
        raise Forbidden(needed)
    return principal


async def _identify(request: Request) -> Principal:
    desk = desk_of(request)
    headers = dict(request.scope["headers"])
    scheme, _, sent = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not sent:
        raise Unauthorized("send the header Authorization: Bearer <token>")
    sent = sent.strip()
    # First, so that an admin token of any shape is good and costs no more than this.
    if desk.token is not None and hmac.compare_digest(sent, desk.token.get_secret_value().encode()):
        return admin(_tenant(headers.get(b"aurea-tenant")))
    return await _by_shape(desk, request, sent.decode("latin-1"))


def _check_tenant(request: Request, principal: Principal) -> None:
    """Raises Forbidden for another's tenant in the header, which only admins may name."""
    named = dict(request.scope["headers"]).get(b"aurea-tenant")
    if named is not None and _tenant(named) != principal.tenant:
        raise Forbidden(Scope.ADMIN)


async def _by_shape(desk: Desk, request: Request, token: str) -> Principal:
    """Return who sent this, which is not the admin token."""
    if token.startswith(api_key.PREFIX):
        return await desk.identities.identify(token, lambda: desk.tolls.charge_look_up(desk.runtime, request.scope))
    if token.startswith(_SUPABASE_KEYS):
        raise Unauthorized(
            "this is a key of Supabase, and of no user: send the access token of one who signed in there"
        )
    if jws.looks_like_one(token):
        return await desk.users.identify(token)
    if desk.token is None:
        raise NotConfigured("AUREA_API_TOKEN", "to the token that callers of the API send")
    raise Unauthorized("this token is not good here: send the one in AUREA_API_TOKEN, an API key or a user's token")


def origin_of(request: Request, tenant: Tenant) -> Origin:
    """Return where a task submitted by this request comes from: its trace goes on in the task's."""
    return Origin(tenant, request.scope["state"]["traceparent"])


def _tenant(header: bytes | None) -> Tenant:
    if header is None:
        return DEFAULT_TENANT
    return parse_tenant(header.decode("latin-1"), "/headers/Aurea-Tenant")


async def _runtime(request: Request) -> Runtime:
    return desk_of(request).runtime


async def _principal(request: Request) -> Principal:
    return await authenticate(request)


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
PrincipalOf = Annotated[Principal, Depends(_principal)]


# What is in the path is looked at once it is known who asks.
async def _task_id(
    _: PrincipalOf,
    task_id: Annotated[str, Path(alias="id", description="A task's id, a UUIDv7.", json_schema_extra=UUID)],
) -> TaskId:
    return parse_task_id(task_id)


async def _tenant_id(
    _: PrincipalOf, tenant: Annotated[str, Path(alias="id", description="A tenant's name.")]
) -> Tenant:
    return parse_tenant(tenant, "/id")


TenantIdOf = Annotated[Tenant, Depends(_tenant_id)]
TaskIdOf = Annotated[TaskId, Depends(_task_id)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(description="The next_cursor of the page before.")]
