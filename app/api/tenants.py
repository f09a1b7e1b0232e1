"""/tenants/{id}: how much of the system a tenant may use."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import shapes
from app.audit import note_act
from app.deps import PrincipalOf, RuntimeOf, TenantIdOf
from app.issues import validated
from app.openapi import Body
from app.render import answer
from app.request_body import read_json
from orchestrator.domain.ids import Tenant
from orchestrator.domain.profile import Bounds, Profile
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
    "types": {"gen_content": {"running": 1}},
}
Count = Annotated[int, Field(ge=0, le=10**12)]


class TypeLimits(BaseModel):
    """Limits of one type of a tenant's tasks; null, or left out, for none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks_per_day: Count | None = None
    running: Count | None = None
    queued: Count | None = None

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.tasks_per_day, self.running, self.queued)


class TenantLimits(TypeLimits):
    """All limits of a tenant; null, or left out, for none."""

    usd_per_day: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=10**6)] | None = None
    types: Annotated[dict[TypeName, TypeLimits], Field(max_length=200)] = Field(default_factory=dict)


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
    tasks are held in their order until one of the tenant's ends. `usd_per_day` is the limit of /budget.
    """
    wanted = validated(TenantLimits, await read_json(request, runtime.limits.max_body_bytes))
    types = {name: limits.bounds for name, limits in wanted.types.items() if limits.bounds != Bounds()}
    limits = Profile(tenant, wanted.bounds, wanted.requests_per_minute, types)
    await profile.set_profile(runtime, limits, wanted.usd_per_day)
    note_act(request, tenant, **_told(limits, wanted.usd_per_day))
    return await _shown(runtime, tenant)


async def _shown(runtime: Runtime, tenant: Tenant) -> Response:
    limits, usd_per_day = await profile.read(runtime, tenant)
    return answer(
        {
            "id": tenant,
            **asdict(limits.bounds),
            "usd_per_day": usd_per_day,
            "requests_per_minute": limits.requests_per_minute,
            "types": dict(sorted(limits.types.items())),
        }
    )


def _told(limits: Profile, usd_per_day: float | None) -> dict[str, str | int]:
    """What the audit says was set, by the names that the command line has for them; what is not there has no limit."""
    money = None if usd_per_day is None else str(usd_per_day)
    own = {**asdict(limits.bounds), "usd_per_day": money, "requests_per_minute": limits.requests_per_minute}
    of_types = {
        f"{type_name}.{name}": most
        for type_name, bounds in limits.types.items()
        for name, most in asdict(bounds).items()
    }
    return {name: most for name, most in {**own, **of_types}.items() if most is not None}
