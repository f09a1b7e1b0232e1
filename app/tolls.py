"""What a request pays before it is served: its address, its principal and its tenant may ask so often a minute.

Who shows a good token pays as that principal and tenant, if they have a limit; everybody else, a wrong token included,
pays as the address it comes from. So does an API key that this process has not seen yet, before anybody looks it up;
that is counted apart, so that what else comes from an address keeps no good key out. Only limits that are set are asked
about. `/livez` is free: it says that the process lives, and must not depend on who asks how often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.address import address_of
from app.edge import trace_id_of
from app.problems import problem_of
from orchestrator.domain.errors import RateLimited
from orchestrator.domain.principal import Principal
from orchestrator.domain.rate import MINUTE_US, Rate, Verdict
from orchestrator.operations.throttle import throttle
from orchestrator.runtime import Runtime

_FREE = "/livez"
_OPEN = frozenset({"/health", "/readyz", "/docs", "/openapi.json"})
_HOOKS = "/webhooks/"
_NOWHERE = "unknown"


@dataclass(frozen=True, slots=True)
class Tolls:
    """The limits of one process' doors; None for none."""

    per_address: int | None
    per_principal: int | None

    async def charge_address(self, runtime: Runtime, scope: Scope) -> None:
        """Charge the address that a request comes from. Raises RateLimited."""
        if self.per_address is not None:
            await _charge(runtime, scope, [Rate("address", f"address:{payer(scope)}", self.per_address)])

    async def charge_look_up(self, runtime: Runtime, scope: Scope) -> None:
        """Charge the address for a key that has to be looked up, as if it sent nothing else. Raises RateLimited."""
        if self.per_address is not None:
            await _charge(runtime, scope, [Rate("look-up", f"look-up:{payer(scope)}", self.per_address)])

    async def charge_principal(self, runtime: Runtime, scope: Scope, principal: Principal) -> None:
        """Charge who asks and the tenant he asks for, all or none. Raises RateLimited."""
        rates = []
        if self.per_principal is not None:
            key = f"principal:{principal.kind}:{principal.id}"
            rates.append(Rate("principal", key, self.per_principal))
        profile = runtime.profiles.by_tenant.get(principal.tenant)
        if profile is not None and profile.requests_per_minute is not None:
            rates.append(Rate("tenant", f"tenant:{principal.tenant}", profile.requests_per_minute))
        if rates:
            await _charge(runtime, scope, rates)


def has_paid(scope: Scope) -> bool:
    """Whether a request was charged to its address: where nobody limits addresses, there is nothing to pay."""
    return "tolls" in scope["state"]


async def _charge(runtime: Runtime, scope: Scope, rates: Sequence[Rate]) -> None:
    policy = ", ".join(f'"{rate.name}";q={rate.per_minute};w={MINUTE_US // 1_000_000}' for rate in rates)
    headers = [(b"ratelimit-policy", policy.encode())]
    scope["state"]["tolls"] = headers
    try:
        verdicts = await throttle(runtime, rates)
    except RateLimited as refusal:
        stands = f'"{refusal.whose}";r=0;t={refusal.retry_after_seconds}'
        headers.append((b"ratelimit", stands.encode()))
        raise
    headers.append((b"ratelimit", ", ".join(map(_standing, rates, verdicts)).encode()))


def _standing(rate: Rate, verdict: Verdict) -> str:
    return f'"{rate.name}";r={verdict.left};t={-(-verdict.reset_us // 1_000_000)}'


def payer(scope: Scope) -> str:
    """Return who pays for an address: of an IPv6 address the network of 64 bits, which is what one customer has."""
    try:
        address = ip_address(address_of(scope).partition("%")[0])
    except ValueError:
        return _NOWHERE
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))
    return str(address)


class TollGate:
    """Middleware inside the edge: charges who shows no token, and tells everybody how his limits stand."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _FREE:
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and "tolls" in scope["state"]:
                message["headers"] = [*message["headers"], *scope["state"]["tolls"]]
            await send(message)

        if is_open(scope):
            state = scope["app"].state
            try:
                await state.desk.tolls.charge_address(state.runtime, scope)
            except RateLimited as refusal:
                await problem_of(refusal).response(trace_id_of(scope))(scope, receive, told)
                return
        await self._app(scope, receive, told)


def is_open(scope: Scope) -> bool:
    """Whether a request is charged to its address before anybody looks at a token."""
    path = scope["path"]
    if path in _OPEN or path.startswith(_HOOKS):
        return True
    return not any(name == b"authorization" for name, _ in scope["headers"])
