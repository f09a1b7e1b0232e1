"""After a failure: back to the last good deployment, and proof that it runs.

It touches nothing when the last good one still runs, or when somebody else has deployed since. Whatever happens, the
task fails, and its error says what happened and what runs now.
"""

from handlers.mrg_deploy.deployment import Before, Deployment, Goal
from handlers.mrg_deploy.watch import Health, Watch
from orchestrator.sdk import Terminal


class DeployFailed(Terminal):
    """The service does not run what was asked for."""


async def restore(watch: Watch, ours: Deployment, before: Before, good: Deployment | None, reason: str) -> DeployFailed:
    """Return the error of a deployment that failed for `reason`, after the rollback if there is one to make."""
    now = await watch.before("rollback")
    if good is not None and now.live is not None and now.live.id == good.id:
        health = await watch.is_healthy("kept")
        return DeployFailed(f"{reason}; {good}, live before, was not replaced and still runs{_said(health)}")
    somebody = await _somebody_else(now, ours, before)
    if somebody is not None:
        return DeployFailed(f"{reason}; not rolled back, because {somebody}")
    if not watch.payload.rollback_on_failure:
        return DeployFailed(f"{reason}; not rolled back, because rollback_on_failure is false; {what_runs(now)}")
    if good is None:
        return DeployFailed(f"{reason}; not rolled back: {before.hindrance}; {what_runs(now)}")
    return await _go_back(watch, good, now, reason)


async def _go_back(watch: Watch, good: Deployment, now: Before, reason: str) -> DeployFailed:
    try:
        rolled = await watch.carry_out(Goal(good), now)
    except Terminal as refusal:
        return DeployFailed(f"{reason}; the rollback to {good} failed: {refusal}; {what_runs(now)}")
    if rolled is not None and rolled.state == "live":
        health = await watch.is_healthy("rollback")
        return DeployFailed(f"{reason}; rolled back to {good}: {rolled} is live{_said(health)}")
    after = await watch.before("after the rollback")
    return DeployFailed(f"{reason}; the rollback to {good} failed too: {outcome(rolled)}; {what_runs(after)}")


async def _somebody_else(now: Before, ours: Deployment, before: Before) -> str | None:
    """Say whose deployment a rollback would undo."""
    known = {each.id for each in (ours, before.live, before.newest) if each is not None}
    if now.live is not None and now.live.id not in known:
        return f"{now.live}, which somebody else deployed since, is live"
    if now.newest is not None and now.newest.state == "under_way" and now.newest.id not in known:
        return f"{now.newest}, which somebody else began since, is under way"
    return None


def outcome(deployment: Deployment | None) -> str:
    """Say how a deployment ended that is not live."""
    if deployment is None:
        return "it was accepted and never seen"
    if deployment.state == "under_way":
        return f"{deployment} was not live in time ({deployment.status})"
    return f"{deployment} ended as {deployment.status}"


def what_runs(now: Before) -> str:
    """Say what is live."""
    return "what runs now is not known" if now.live is None else f"what runs now is {now.live}"


def _said(health: Health | None) -> str:
    if health is None:
        return ""
    return " and is healthy" if health.healthy else f", but it is not healthy: {health.detail}"
