"""mrg_deploy: a deployment is begun, watched until it is live and healthy, and rolled back when it is not.

One task at a time deploys to a service. Between two looks no worker is held, so it may take hours. A task that was
killed finds what it began: docs/handlers/mrg_deploy.md says for each provider by what, and what cannot be excluded.
"""

from dataclasses import replace
from typing import Any

from handlers.mrg_deploy.deployment import Deployment, Goal, Provider
from handlers.mrg_deploy.hook import DeployHook
from handlers.mrg_deploy.payload import Deploy
from handlers.mrg_deploy.render import Render
from handlers.mrg_deploy.restore import DeployFailed, outcome, restore, what_runs
from handlers.mrg_deploy.watch import Health, Watch
from orchestrator.sdk import Context, task


@task("mrg_deploy", max_retries=8, retry_base_seconds=5, retry_cap_seconds=120)
async def mrg_deploy(payload: Deploy, ctx: Context) -> dict[str, Any]:
    """Deploy a service, watch it until it is healthy, and roll back when it fails."""
    watch = Watch(ctx, _provider(payload, ctx), payload)
    if payload.action == "status":
        now = await watch.before("status")
        return _result(payload, now.live, health=await watch.is_healthy("status")) | {"newest": _shown(now.newest)}
    async with ctx.lock(f"deploy:{payload.provider}:{payload.service}") as fence:
        watch = replace(watch, lock=fence)
        if payload.action == "rollback":
            return await _roll_back(watch)
        return await _deploy(watch)


def _provider(payload: Deploy, ctx: Context) -> Provider:
    """Raises Terminal naming a variable that is not set."""
    return Render(payload, ctx) if payload.hook is None else DeployHook(payload, payload.hook, ctx)


async def _deploy(watch: Watch) -> dict[str, Any]:
    payload = watch.payload
    await watch.reach()
    before = await watch.before("deploy")
    good = before.good if payload.rollback_to is None else await _named(watch, payload.rollback_to)
    ours = await watch.carry_out(Goal(), before)
    if ours is None:
        raise DeployFailed(f"the deploy was accepted, and never seen; {what_runs(await watch.before('after'))}")
    late = ours.state == "under_way"
    if late:
        kept = await watch.ctx.step("deploy: stop", watch.provider.stop, ours)
        ours = Deployment.model_validate(kept)
    if late and ours.state != "live":
        reason = f"the deploy {ours} was not live within {payload.deploy_timeout_seconds:g} s"
        raise await restore(watch, ours, before, good, reason)
    if ours.state == "failed":
        raise await restore(watch, ours, before, good, f"the deploy {ours} ended as {ours.status}")
    if ours.state != "live":
        raise await _superseded(watch, ours)
    health = await watch.is_healthy("deploy")
    if health is not None and not health.healthy:
        kept = await watch.ctx.step("deploy: look again", watch.provider.look, ours)
        if Deployment.model_validate(kept).state != "live":
            raise await _superseded(watch, Deployment.model_validate(kept))
        reason = f"the deploy {ours} is live, but not healthy: {health.detail} (tries: {health.tries})"
        raise await restore(watch, ours, before, good, reason)
    return _result(payload, ours, good, health)


async def _roll_back(watch: Watch) -> dict[str, Any]:
    before = await watch.before("rollback")
    if watch.payload.rollback_to is not None:
        target: Deployment | None = await _named(watch, watch.payload.rollback_to)
    else:
        kept = await watch.ctx.step("rollback: target", watch.provider.earlier, before)
        target = None if kept is None else Deployment.model_validate(kept)
    if target is None:
        raise DeployFailed(f"not rolled back: {before.hindrance}; {what_runs(before)}")
    rolled = await watch.carry_out(Goal(target), before)
    if rolled is None or rolled.state != "live":
        now = await watch.before("after the rollback")
        raise DeployFailed(f"the rollback to {target} failed: {outcome(rolled)}; {what_runs(now)}")
    health = await watch.is_healthy("rollback")
    if health is not None and not health.healthy:
        raise DeployFailed(f"the rollback to {target} is live as {rolled}, but not healthy: {health.detail}")
    return _result(watch.payload, rolled, before.live, health)


async def _named(watch: Watch, deployment_id: str) -> Deployment:
    return Deployment.model_validate(await watch.ctx.step("rollback_to", watch.provider.named, deployment_id))


async def _superseded(watch: Watch, ours: Deployment) -> DeployFailed:
    """The error for what somebody else ended; a rollback would undo their work."""
    now = await watch.before("after")
    how = "was cancelled" if ours.state == "cancelled" else "was replaced by a newer deployment"
    return DeployFailed(f"the deploy {ours} {how}, not by this task; nothing was rolled back; {what_runs(now)}")


def _result(
    payload: Deploy, live: Deployment | None, earlier: Deployment | None = None, health: Health | None = None
) -> dict[str, Any]:
    return {
        "action": payload.action,
        "provider": payload.provider,
        "service": payload.service,
        "deployment": _shown(live),
        "before": _shown(earlier),
        "health": None if health is None else health.model_dump(),
    }


def _shown(deployment: Deployment | None) -> dict[str, Any] | None:
    return None if deployment is None else deployment.model_dump(mode="json", exclude={"fraction"})
