"""What every provider speaks of: a deployment, what stood before it, and what is to be begun."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

State = Literal["under_way", "live", "failed", "cancelled", "replaced"]
"""`replaced`: it was live, and another one is now."""

_SHORT_COMMIT = 10


class Deployment(BaseModel):
    """One deployment, as its provider showed it last."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: State
    status: str
    """The provider's own word."""
    source: str | None = None
    """The commit or image that it is made of."""
    digest: str | None = None
    """What an image's name led to."""
    trigger: str | None = None
    created_at: datetime | None = None
    fraction: float = 0.5
    """How far it is, from 0 to 1; its health check is still to come."""

    def __str__(self) -> str:
        if self.source is None:
            return self.id
        is_commit = len(self.source) == 40 and "/" not in self.source
        return f"{self.id} ({self.source[:_SHORT_COMMIT] if is_commit else self.source})"

    @property
    def build(self) -> str | None:
        """Equal for deployments of the same thing."""
        return self.digest or self.source


class Before(BaseModel):
    """What stood at a service before something was begun there."""

    model_config = ConfigDict(frozen=True)

    live: Deployment | None = None
    """None: nothing, or the provider cannot tell."""
    newest: Deployment | None = None
    """What is not newer than this one was there before."""
    good: Deployment | None = None
    """What to go back to."""
    lock: int = 0
    """The fence of the service's lock under which this was seen."""
    hindrance: str = "there is no earlier good deployment to roll back to"
    """Why there is no way back, when `good` is None."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be begun: the payload's deployment, or the way back to an earlier one."""

    target: Deployment | None = None

    @property
    def word(self) -> Literal["deploy", "rollback"]:
        return "deploy" if self.target is None else "rollback"


class Provider(Protocol):
    """One kind of place to deploy to.

    Its calls raise Refused for an answer that no retry can change and Away for one that it can. None of them is
    repeated by itself, and none tells a secret.
    """

    title: str

    async def before(self) -> Before:
        """Return what stands now."""

    async def find(self, goal: Goal, before: Before) -> Deployment | None:
        """Return what this task has begun already, if it is to be seen."""

    async def start(self, goal: Goal, before: Before) -> Deployment | None:
        """Begin it. None: it was accepted and has no id yet; `find` will have it."""

    async def look(self, deployment: Deployment) -> Deployment:
        """Return it as it stands now."""

    async def stop(self, deployment: Deployment) -> Deployment:
        """End one that is under way, if the provider can, and return what became of it."""

    async def earlier(self, before: Before) -> Deployment | None:
        """Return what a rollback leads to when nobody says."""

    async def named(self, deployment_id: str) -> Deployment:
        """Return the deployment that somebody named to go back to."""
