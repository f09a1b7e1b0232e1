"""Who asks: a principal, the tenant it acts for, and what it may do.

Scopes are what a key or a token is given, one word for the thing and one for what is done with it. The admin token
has all of them and may act for any tenant; nobody else acts for a tenant but his own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain.ids import Tenant


class Scope(StrEnum):
    """What a principal may do."""

    TASKS_READ = "tasks:read"
    """Tasks, their history, files and streams; dead letters; the handlers and queues they run in."""
    TASKS_WRITE = "tasks:write"
    """Create tasks, and run ended ones again."""
    TASKS_CANCEL = "tasks:cancel"
    DEAD_REPLAY = "dead:replay"
    QUEUES_WRITE = "queues:write"
    BUDGET_READ = "budget:read"
    BUDGET_WRITE = "budget:write"
    KEYS_WRITE = "keys:write"
    """See, make, rotate and revoke keys of the own tenant, with no more scopes than one's own."""
    HOOKS_WRITE = "hooks:write"
    """What came by webhooks, and who is told of what ends."""
    AUDIT_READ = "audit:read"
    SYSTEM_READ = "system:read"
    """Figures of the whole system: workers and metrics."""
    MCP = "mcp"
    ADMIN = "admin"
    """What concerns more than one tenant; only the admin token has it."""


ALL_SCOPES = frozenset(Scope)
GRANTABLE = ALL_SCOPES - {Scope.ADMIN}
USER_SCOPES = frozenset({Scope.TASKS_READ, Scope.TASKS_WRITE, Scope.TASKS_CANCEL, Scope.BUDGET_READ})
"""What a signed-in user may do whose token names no scopes."""
_BY_NAME = {scope.value: scope for scope in Scope}


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names; one that this version does not know gives nothing."""
    return frozenset(_BY_NAME[name] for name in names if name in _BY_NAME)


class Kind(StrEnum):
    ADMIN = "admin"
    KEY = "key"
    USER = "user"
    SOURCE = "source"
    """A sender of webhooks, proven by its signature; it has no scopes."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and for whom."""

    tenant: Tenant
    kind: Kind
    id: str
    """The key's id, the user's `sub`, the source's name, or "admin": what the audit names."""
    scopes: frozenset[Scope]
    until: datetime | None = None
    """When the key or token ends by itself; None: never."""

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes


def admin(tenant: Tenant) -> Principal:
    """The holder of the admin token, acting for a tenant."""
    return Principal(tenant, Kind.ADMIN, "admin", ALL_SCOPES)
