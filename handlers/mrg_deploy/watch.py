"""Beginning a deployment and watching it: each look is a step, and between two looks no worker is held.

A provider that is away for a while costs nothing but looks. What is told is told inside the steps, once a change.
"""

from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict

from handlers.mrg_deploy.deployment import Before, Deployment, Goal, Provider
from handlers.mrg_deploy.outside import Away, Refused
from handlers.mrg_deploy.payload import Deploy
from orchestrator.sdk import Context
from orchestrator.sdk.refusals import AddressRefused

_SLOWER = 1.1
_SLOWEST = 3.0
_SEARCH_SECONDS = 10.0
_PATIENCE_LOOKS = 5
"""How often in a row a deployment that was just begun may be unknown."""


class Look(BaseModel):
    """What one look saw."""

    model_config = ConfigDict(frozen=True)

    deployment: Deployment | None = None
    trouble: str | None = None
    unknown: bool = False
    wait_seconds: float = 0.0


class Health(BaseModel):
    """What a health check came to."""

    model_config = ConfigDict(frozen=True)

    healthy: bool
    detail: str
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Watch:
    """One task's view of its service. Every call gives its steps the name of what it is about."""

    ctx: Context
    provider: Provider
    payload: Deploy
    lock: int = 0
    """The fence of the service's lock; another one means that the lock was let go meanwhile."""

    async def before(self, name: str) -> Before:
        return Before.model_validate(await self.ctx.step(f"{name}: before", self._before))

    async def carry_out(self, goal: Goal, before: Before) -> Deployment | None:
        """Begin it, unless this task has begun it already, and return how it ended.

        Still under way: the time is over. None: it was accepted and never seen. Raises Refused, or Away when it
        could not be begun.
        """
        name = goal.word
        if self.ctx.attempt > 1 and await self.ctx.step(f"{name}: search", self.provider.find, goal, before) is None:
            # An attempt before this one may have begun it a moment ago: what is not listed yet may be soon.
            await self.ctx.sleep(_SEARCH_SECONDS, name=f"{name}: search wait")
        kept = await self.ctx.step(f"{name}: begin", self._begin, goal, before)
        seen = None if kept is None else Deployment.model_validate(kept)
        look, number, waited, unknown = Look(), 0, 0.0, 0
        while (seen is None or seen.state == "under_way") and waited < self.payload.deploy_timeout_seconds:
            number += 1
            slower = min(_SLOWEST, _SLOWER ** (number - 1))
            seconds = max(self.payload.poll_interval_seconds * slower, look.wait_seconds)
            await self.ctx.sleep(seconds, name=f"{name}: wait {number}")
            waited += seconds
            kept = await self.ctx.step(f"{name}: look {number}", self._look, goal, before, seen, look.trouble, unknown)
            look = Look.model_validate(kept)
            seen = look.deployment or seen
            unknown = unknown + 1 if look.unknown else 0
        return seen

    async def is_healthy(self, name: str) -> Health | None:
        """Ask the health URL until it answers as it should, or the tries are used up. None: there is no URL."""
        if self.payload.health_url is None:
            return None
        number = 0
        while True:
            number += 1
            last = number >= self.payload.health_tries
            kept = await self.ctx.step(f"{name}: health {number}", self._ask, number, last)
            health = Health.model_validate(kept)
            if health.healthy or last:
                return health
            await self.ctx.sleep(self.payload.health_interval_seconds, name=f"{name}: health wait {number}")

    async def reach(self) -> None:
        """Ask the health URL before anything is begun. Raises AddressRefused: such a check could never pass."""
        if self.payload.health_url is not None:
            await self.ctx.step("deploy: health before", self._ask_before)

    async def _before(self) -> Before:
        return (await self.provider.before()).model_copy(update={"lock": self.lock})

    async def _begin(self, goal: Goal, before: Before) -> Deployment | None:
        found = await self.provider.find(goal, before)
        if found is not None and before.lock != self.lock and found.state not in ("under_way", "live"):
            found = None  # others had the lock since, so it may be theirs; and it is over
        begun = found or await self.provider.start(goal, before)
        title = self.provider.title
        if begun is None:
            await self.ctx.log(f"{title}: the {goal.word} is accepted and waits for its turn")
        else:
            how = "found again, begun earlier" if found else "begun"
            await self.ctx.log(f"{title}: {goal.word} {begun} {how}", deployment=begun.id, status=begun.status)
            await self.ctx.progress(begun.fraction, f"{goal.word} {begun.status}")
        return begun

    async def _look(
        self, goal: Goal, before: Before, known: Deployment | None, trouble: str | None, unknown: int
    ) -> Look:
        try:
            look = await self._see(goal, before, known, unknown)
        except Away as away:
            look = Look(trouble=str(away), wait_seconds=away.after or 0.0)
        seen = look.deployment
        if look.trouble is not None and look.trouble != trouble:
            await self.ctx.log(look.trouble, level="warning")
        if seen is not None and (known is None or seen.status != known.status):
            await self.ctx.log(f"{self.provider.title}: {goal.word} {seen} {seen.status}", deployment=seen.id)
            await self.ctx.progress(seen.fraction, f"{goal.word} {seen.status}")
        return look

    async def _see(self, goal: Goal, before: Before, known: Deployment | None, unknown: int) -> Look:
        if known is None:
            return Look(deployment=await self.provider.find(goal, before))
        try:
            return Look(deployment=await self.provider.look(known))
        except Refused as refusal:
            if refusal.status == 404 and unknown < _PATIENCE_LOOKS:
                return Look(trouble=str(refusal), unknown=True)
            raise Refused(f"{refusal}; the {goal.word} {known.id} goes on unwatched", refusal.status) from None

    async def _ask(self, number: int, last: bool) -> Health:
        try:
            health = await self._answer()
        except AddressRefused as refusal:
            health = Health(healthy=False, detail=str(refusal))
        plain = _plain(str(self.payload.health_url))
        if health.healthy:
            await self.ctx.log(f"{plain} is healthy: {health.detail}")
            await self.ctx.progress(1.0, "healthy")
        elif number == 1 or last:
            tries = f"try {number} of {self.payload.health_tries}"
            await self.ctx.log(f"{plain} is not healthy: {health.detail}; {tries}", level="warning")
        return health.model_copy(update={"tries": number})

    async def _ask_before(self) -> Any:
        health = await self._answer()
        if not health.healthy:
            plain = _plain(str(self.payload.health_url))
            await self.ctx.log(f"{plain} is not healthy before the deploy either: {health.detail}", level="warning")
        return health

    async def _answer(self) -> Health:
        """Raises AddressRefused."""
        url, seconds = str(self.payload.health_url), self.payload.health_timeout_seconds
        try:
            async with self.ctx.http.stream("GET", url, timeout=seconds) as answer:
                status = answer.status_code
        except httpx2.RequestError as error:
            return Health(healthy=False, detail=f"no answer ({type(error).__name__})")
        return Health(healthy=self.payload.is_healthy(status), detail=f"it answers {status}")


def _plain(url: str) -> str:
    """The URL without its query, which may hold a key."""
    return str(httpx2.URL(url).copy_with(query=None, fragment=None))
