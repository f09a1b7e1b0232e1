"""What a route needs to know about its request: the runtime, the caller, the id in the path, the page asked for."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import SecretStr

from app.access import NEEDED
from app.tolls import Tolls
from app.webhooks.source import Source
from orchestrator.domain.errors import Forbidden, InvalidInput, Issue, NotConfigured, Unauthorized
from orchestrator.domain.ids import DEFAULT_TENANT, TaskId, Tenant, parse_task_id
from orchestrator.domain.principal import Principal, admin
from orchestrator.operations.request import Origin
from orchestrator.operations.submit import Intake
from orchestrator.runtime import Runtime

_TENANT = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")


@dataclass(frozen=True, slots=True)
class Desk:
    """What every request of one API process works with; opened by the lifespan, kept as `app.state.desk`."""

    runtime: Runtime
    intake: Intake
    token: SecretStr | None
    tolls: Tolls
    sources: Mapping[str, Source]
    secrets: Mapping[str, SecretStr | None]
    """What webhook sources sign with, by the name of the environment variable."""
    sse: bool
    metrics: bool

    def secret_of(self, variable: str) -> str | None:
        secret = self.secrets.get(variable)
        return None if secret is None else secret.get_secret_value()


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
        principal = _identify(request)
    except Unauthorized:
        if b"authorization" in dict(request.scope["headers"]):  # without one it was charged at the gate
            await desk.tolls.charge_address(desk.runtime, request.scope)
        raise
    await desk.tolls.charge_principal(desk.runtime, request.scope, principal)
    needed = NEEDED.get(request.scope["route"].operation_id)
    if needed is None or needed not in principal.scopes:
        raise Forbidden(needed)
    return principal


def _identify(request: Request) -> Principal:
    token = desk_of(request).token
    if token is None:
        raise NotConfigured("AUREA_API_TOKEN", "to the token that callers of the API send")
    headers = dict(request.scope["headers"])
    scheme, _, sent = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not sent:
        raise Unauthorized("send the header Authorization: Bearer <token>")
    if not hmac.compare_digest(sent.strip(), token.get_secret_value().encode()):
        raise Unauthorized("this token is not good here: send the one in AUREA_API_TOKEN")
    return admin(_tenant(headers.get(b"aurea-tenant")))


def origin_of(request: Request, tenant: Tenant) -> Origin:
    """Return where a task submitted by this request comes from: its trace goes on in the task's."""
    return Origin(tenant, request.scope["state"]["traceparent"])


def _tenant(header: bytes | None) -> Tenant:
    if header is None:
        return DEFAULT_TENANT
    name = header.decode("latin-1")
    if not _TENANT.fullmatch(name):
        fix = "send 1 to 64 of the characters A-Z a-z 0-9 _ . -, or leave the header out"
        raise InvalidInput(f"the header Aurea-Tenant names no tenant: {fix}", [Issue("/headers/Aurea-Tenant", fix)])
    return Tenant(name)


async def _tenant_id(
    tenant: Annotated[str, Path(alias="id", description="A tenant's name.", pattern=_TENANT.pattern)],
) -> Tenant:
    return Tenant(tenant)


async def _runtime(request: Request) -> Runtime:
    return desk_of(request).runtime


async def _principal(request: Request) -> Principal:
    return await authenticate(request)


async def _task_id(task_id: Annotated[str, Path(alias="id", description="A task's id, a UUIDv7.")]) -> TaskId:
    return parse_task_id(task_id)


RuntimeOf = Annotated[Runtime, Depends(_runtime)]
PrincipalOf = Annotated[Principal, Depends(_principal)]
TenantIdOf = Annotated[Tenant, Depends(_tenant_id)]
TaskIdOf = Annotated[TaskId, Depends(_task_id)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(description="The next_cursor of the page before.")]
