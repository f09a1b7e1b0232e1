"""/budget: what models cost today, and what they may cost in a day."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import shapes
from app.audit import note_act
from app.deps import PrincipalOf, RuntimeOf
from app.issues import validated
from app.openapi import Body
from app.render import answer
from app.request_body import read_json
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.money import ModelUse, Standing, to_usd
from orchestrator.domain.principal import Principal, Scope
from orchestrator.operations import budget
from orchestrator.operations.budget import Account
from orchestrator.runtime import Runtime

router = APIRouter(tags=["budget"])


class NewLimit(BaseModel):
    """What may be spent on models in a day (UTC); null takes the limit away."""

    model_config = ConfigDict(extra="forbid", strict=True)

    usd_per_day: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None
    scope: Annotated[
        Literal["tenant", "system"],
        Field(description="system: of all tenants together; without a limit there, MODEL_DAILY_BUDGET_USD holds."),
    ] = "tenant"


@router.get("/budget", operation_id="budget_show", response_model=shapes.Budget)
async def show(principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Show today's money of the tenant: spent, reserved for calls under way, the limit, and each model's part of it.

    A day begins at midnight UTC. `types` are those of its tasks that cost something today or have a limit of their own.
    `system` is the same for all tenants together, and is shown to admins alone.
    A call is refused that could overrun any of these limits, or the one that its own task was given.
    """
    return await _shown(runtime, principal)


@router.put(
    "/budget",
    operation_id="budget_set",
    response_model=shapes.Budget,
    openapi_extra=Body(NewLimit, {"usd_per_day": 10, "scope": "tenant"}),
)
async def set_limit(request: Request, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Limit what the tenant, or with `"scope": "system"` the whole system, may spend on models in a day (UTC).

    It holds from the next call on; what is under way is finished. `null` takes the limit away: a tenant is bound by
    the system's alone then, and the system by MODEL_DAILY_BUDGET_USD. 0 refuses every call that costs anything.
    """
    wanted = validated(NewLimit, await read_json(request, runtime.limits.max_body_bytes))
    if wanted.scope == "system" and not principal.is_admin:
        raise Forbidden(Scope.ADMIN)
    tenant = None if wanted.scope == "system" else principal.tenant
    await budget.set_limit(runtime, tenant, wanted.usd_per_day)
    note_act(request, tenant or "system", usd_per_day=str(wanted.usd_per_day))
    return await _shown(runtime, principal)


async def _shown(runtime: Runtime, principal: Principal) -> Response:
    today = await budget.read(runtime, principal.tenant, whole=principal.is_admin)
    return answer(
        {
            "tenant": principal.tenant,
            "day": today.day,
            "resets_at": today.resets_at,
            **_account(today.tenant),
            "types": [{"type": each.type, **_sums(each)} for each in today.types],
            "system": None if today.system is None else _account(today.system),
        }
    )


def _account(account: Account) -> dict[str, object]:
    return {**_sums(account.standing), "models": [_model(use) for use in account.models]}


def _sums(standing: Standing) -> dict[str, object]:
    return {
        "spent_usd": to_usd(standing.spent_nano),
        "reserved_usd": to_usd(standing.reserved_nano),
        "limit_usd": None if standing.limit_nano is None else to_usd(standing.limit_nano),
    }


def _model(use: ModelUse) -> dict[str, object]:
    return {
        "provider": use.provider,
        "model": use.model,
        "calls": use.calls,
        "input_tokens": use.input_tokens,
        "output_tokens": use.output_tokens,
        "spent_usd": to_usd(use.cost_nano),
    }
