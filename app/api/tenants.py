"""/tenants: how much of the system each tenant may use."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import shapes
from app.audit import note_act
from app.deps import Cursor, Limit, PrincipalOf, RuntimeOf, TenantIdOf
from app.issues import validated
from app.openapi import Body
from app.render import answer, page
from app.request_body import read_json
from orchestrator.domain.ids import Tenant
from orchestrator.domain.money import DayLimits, to_usd
from orchestrator.domain.profile import Bounds, Profile, Tenancy, spelled
from orchestrator.operations import profile
from orchestrator.operations.request import TypeName
from orchestrator.runtime import Runtime

router = APIRouter(tags=["tenants"])

_EXAMPLE = {
    "tasks_per_day": 1000,
    "running": 4,
    "queued": None,
    "usd_per_day": 5,
    "requests_per_minute": 600,
    "types": {"gen_content": {"running": 1, "usd_per_day": 2}},
}
Count = Annotated[int, Field(ge=0, le=10**12)]
Dollars = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class TypeLimits(BaseModel):
    """Limits of one type of a tenant's tasks; null, or left out, for none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks_per_day: Count | None = None
    running: Count | None = None
    queued: Count | None = None
    usd_per_day: Dollars | None = None

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.tasks_per_day, self.running, self.queued)


class TenantLimits(TypeLimits):
    """All limits of a tenant; null, or left out, for none."""

    requests_per_minute: Annotated[int, Field(ge=1, le=10**6)] | None = None
    types: Annotated[dict[TypeName, TypeLimits], Field(max_length=200)] = Field(default_factory=dict)


@router.get("/tenants", operation_id="tenants_list", response_model=shapes.Page[shapes.ListedTenant])
async def list_tenants(
    principal: PrincipalOf, runtime: RuntimeOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List tenants by name: those that have limits, API keys or tasks that are kept, with what they may and spend."""
    found = await profile.page(runtime, cursor, limit)
    return page([_listed(each) for each in found.items], found.next_cursor)


@router.get("/tenants/{id}", operation_id="tenants_show", response_model=shapes.Tenant)
async def show(tenant: TenantIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Show a tenant's limits. One that nobody limited has none: tenants are not made, they are named."""
    return await _shown(runtime, tenant)


@router.put(
    "/tenants/{id}",
    operation_id="tenants_set",
    response_model=shapes.Tenant,
    openapi_extra=Body(TenantLimits, _EXAMPLE),
)
async def set_limits(request: Request, tenant: TenantIdOf, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Set all of a tenant's limits: what is left out, or null, has none from now on.

    They hold in every process within five seconds. What was accepted stays and what runs goes on; over `running`,
    tasks are held in their order until one of the tenant's ends. `usd_per_day` is the limit of /budget, and of a type
    it binds beside it. A type that no handler of this API has is refused, unless it has limits already.
    """
    wanted = validated(TenantLimits, await read_json(request, runtime.limits.max_body_bytes))
    types = {name: limits.bounds for name, limits in wanted.types.items() if limits.bounds != Bounds()}
    dollars = {name: own.usd_per_day for name, own in wanted.types.items() if own.usd_per_day is not None}
    limits = Profile(tenant, wanted.bounds, wanted.requests_per_minute, types)
    money = await profile.set_profile(runtime, limits, wanted.usd_per_day, dollars)
    told = spelled(limits, money)
    note_act(request, tenant, **{name: most if isinstance(most, int) else str(most) for name, most in told.items()})
    return await _shown(runtime, tenant)


async def _shown(runtime: Runtime, tenant: Tenant) -> Response:
    return answer(_document(*await profile.read(runtime, tenant)))


def _document(limits: Profile, money: DayLimits) -> dict[str, Any]:
    names = sorted({*limits.types, *money.by_type})
    return {
        "id": limits.tenant,
        **_bounds(limits.bounds, money.nano),
        "requests_per_minute": limits.requests_per_minute,
        "types": {name: _bounds(limits.of_type(name), money.by_type.get(name)) for name in names},
    }


def _bounds(bounds: Bounds, nano: int | None) -> dict[str, float | None]:
    return {**asdict(bounds), "usd_per_day": None if nano is None else to_usd(nano)}


def _listed(tenancy: Tenancy) -> dict[str, Any]:
    return {
        **_document(tenancy.profile, tenancy.money),
        "spent_usd": to_usd(tenancy.spent_nano),
        "keys": tenancy.keys,
        "last_task_at": tenancy.last_task_at,
    }
