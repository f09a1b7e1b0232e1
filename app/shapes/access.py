"""Who may do what, and how much: keys, the audit, limits of tenants, money."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from orchestrator.domain.principal import Kind


class ModelUse(BaseModel):
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    spent_usd: float


class Sums(BaseModel):
    spent_usd: float
    reserved_usd: float = Field(description="Set aside for calls under way.")
    limit_usd: float | None = Field(description="Null for none.")


class MoneyOfType(Sums):
    type: str


class Account(Sums):
    models: list[ModelUse] = Field(description="The dearest first.")


class Budget(Account):
    tenant: str
    day: date
    resets_at: datetime
    types: list[MoneyOfType] = Field(description="Of its tasks: what costs something today or has a limit, by type.")
    system: Account | None = Field(description="Of all tenants together; null for who is not an admin.")


class Key(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="How the key begins: no secret.")
    tenant: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    rotated_to: str | None = Field(description="The id of the key that replaces it.")


class ShownKey(Key):
    key: str = Field(description="The key itself, shown this once.")


class RevokedKey(Key):
    durability: Literal["redis", "memory"] | None = Field(
        None, description="There while Postgres has yet to hear of it."
    )


class Actor(BaseModel):
    kind: Kind
    id: str


class AuditLine(BaseModel):
    number: int = Field(description="Counts from 1 without a gap, in each tenant's trail.")
    id: str
    at: datetime
    tenant: str
    actor: Actor
    action: str = Field(description="The operation's id in this document.")
    targets: list[str] = Field(description="What it was done to.")
    status: int = Field(description="How it was answered.")
    address: str
    trace_id: str
    details: dict[str, str | int]
    hash: str = Field(description="Over the line and the hash of the line before, as docs/security.md says.")


class LimitsOfType(BaseModel):
    tasks_per_day: int | None
    running: int | None
    queued: int | None
    usd_per_day: float | None


class Tenant(LimitsOfType):
    id: str
    tasks_per_day: int | None = Field(description="Created in a day (UTC). Null for none, here and below.")
    running: int | None = Field(description="At once; more are held in their order.")
    queued: int | None = Field(description="Created and not begun, due later included.")
    usd_per_day: float | None = Field(description="For models; the same limit as in /budget.")
    requests_per_minute: int | None
    types: dict[str, LimitsOfType] = Field(description="Limits of single types of its tasks, beside those above.")


class ListedTenant(Tenant):
    spent_usd: float = Field(description="Today (UTC), on models.")
    keys: int = Field(description="API keys that are good now.")
    last_task_at: datetime | None = Field(description="When the newest task that is kept was created.")
