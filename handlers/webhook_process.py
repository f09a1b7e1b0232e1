"""webhook_process: a webhook delivery becomes the tasks that the routing rules say.

The rules stand in one TOML file: the one that AUREA_WEBHOOK_RULES names, which has to be there, else `webhooks.toml`
in the worker's working directory, looked for at each delivery. It is read anew when it changes; examples/webhooks.toml
shows every field. All rules that match apply, in the file's order, until one says `stop = true`. A rule's task has an
idempotency key made of the delivery and the rule's name, so a second run of the same delivery makes no second task.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.sdk import Context, Terminal, task
from orchestrator.sdk.refusals import InvalidInput
from orchestrator.sdk.rules import Route, WebhookDelivery, read_rules

RULES_VARIABLE = "AUREA_WEBHOOK_RULES"
DEFAULT_RULES = "webhooks.toml"


@task("webhook_process")
async def webhook_process(payload: WebhookDelivery, ctx: Context) -> dict[str, Any]:
    """Apply the routing rules to a webhook delivery and submit the tasks they ask for."""
    named = ctx.config.get(RULES_VARIABLE)
    file = named or DEFAULT_RULES
    try:
        routes = await asyncio.to_thread(read_rules, file)
    except FileNotFoundError:
        if named:
            raise Terminal(
                f"{RULES_VARIABLE} names {named}, which is not there: write it, or correct the variable"
            ) from None
        await ctx.log(_how_to_add_rules())
        return {"matched": [], "submitted": []}
    values = {**payload.model_dump(), "headers": {name.lower(): text for name, text in payload.headers.items()}}
    matched = await _matching(routes, payload, values, ctx)
    if not matched:
        await ctx.log(f"no rule of {file} matches {payload.source} {payload.event}")
    planned = [(route, *route.fill(payload, values)) for route in matched]
    submitted = [
        {"rule": route.rule.name, "task_id": await _submit(route, body, key, ctx)} for route, body, key in planned
    ]
    return {"matched": [route.rule.name for route in matched], "submitted": submitted}


def _how_to_add_rules() -> str:
    return (
        f"no rules: write {Path(DEFAULT_RULES).absolute()}, or set {RULES_VARIABLE} of the workers to the path of"
        " such a file; examples/webhooks.toml shows how"
    )


async def _matching(
    routes: Sequence[Route], delivery: WebhookDelivery, values: Mapping[str, Any], ctx: Context
) -> list[Route]:
    from orchestrator.sdk.expressions import BadCondition, Facts, Unanswerable

    facts, matched = Facts(values), []
    for route in routes:
        if not route.concerns(delivery):
            continue
        try:
            if route.condition is not None and not route.condition.holds(facts):
                continue
        except Unanswerable as error:
            await ctx.log(f"the rule {route.rule.name!r} is passed over: {error}")
            continue
        except BadCondition as error:
            raise route.fault(error) from None
        matched.append(route)
        if route.rule.stop:
            break
    return matched


async def _submit(route: Route, payload: Any, key: str, ctx: Context) -> str:
    rule = route.rule
    try:
        return await ctx.submit(rule.type, payload, key=key, priority=rule.priority, queue=rule.queue)
    except InvalidInput as error:
        raise route.fault(error) from None
