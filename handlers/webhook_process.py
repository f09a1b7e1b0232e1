"""webhook_process: a webhook delivery becomes the tasks that the routing rules say.

The rules stand in one TOML file: the one that AUREA_WEBHOOK_RULES names, which has to be there, else `webhooks.toml`
in the worker's working directory, looked for at each delivery. It is read anew when it changes; examples/webhooks.toml
shows every field. All rules that match apply, in the file's order, until one says `stop = true`. A rule's task has an
idempotency key made of the delivery and the rule's name, so a second run of the same delivery makes no second task.
"""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.sdk import Context, Terminal, task
from orchestrator.sdk.refusals import InvalidInput

if TYPE_CHECKING:
    from orchestrator.sdk.expressions import Condition, Template

RULES_VARIABLE = "AUREA_WEBHOOK_RULES"
DEFAULT_RULES = "webhooks.toml"
VARIABLES = ("source", "event", "delivery", "headers", "body")
LONGEST_KEY = 255

Name = Annotated[str, Field(min_length=1, max_length=100)]


class WebhookDelivery(BaseModel):
    """A delivery whose signature was found good."""

    model_config = ConfigDict(extra="forbid")

    source: str
    event: str
    delivery: str
    headers: dict[str, str] = {}
    body: Any = None


class Rule(BaseModel):
    """One rule as it is written. `source`, `event` and `action` are exact, or patterns such as `pull_request*`."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    source: Name
    event: Name = "*"
    action: Name | None = None
    """Matches the body's field `action`."""
    when: str | None = None
    """A CEL condition over source, event, delivery, headers (names in lower case) and body."""
    type: Name
    payload: dict[str, Any] = {}
    """Its texts are templates over the same variables."""
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    queue: Name | None = None
    idempotency_key: Name | None = None
    """A template. Without one: source, delivery and the rule's name."""
    stop: bool = False


class Rules(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: list[Rule] = []
    sources: list[Any] = []
    """Where deliveries come from; the API reads those."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rule, ready to be applied."""

    file: str
    rule: Rule
    condition: "Condition | None"
    payload: "Template"
    key: "Template | None"

    def concerns(self, delivery: WebhookDelivery) -> bool:
        rule = self.rule
        action = delivery.body.get("action") if isinstance(delivery.body, dict) else None
        return (
            fnmatchcase(delivery.source, rule.source)
            and fnmatchcase(delivery.event, rule.event)
            and (rule.action is None or (isinstance(action, str) and fnmatchcase(action, rule.action)))
        )

    def fill(self, delivery: WebhookDelivery, values: Mapping[str, Any]) -> tuple[Any, str]:
        """Return the payload and the idempotency key of this route's task. Raises Terminal."""
        from orchestrator.sdk.expressions import BadTemplate

        key = f"webhook:{delivery.source}:{delivery.delivery}:{self.rule.name}"
        try:
            if self.key is not None:
                key = str(self.key.render(values))
            payload = self.payload.render(values)
        except BadTemplate as error:
            raise self.fault(error) from None
        return payload, key if len(key) <= LONGEST_KEY else f"{key[:100]}:{sha256(key.encode()).hexdigest()}"

    def fault(self, error: Exception) -> Terminal:
        return Terminal(f"{self.file}, rule {self.rule.name!r}: {error}")


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


def read_rules(file: str) -> tuple[Route, ...]:
    """Return the rules of a file.

    Raises FileNotFoundError, or Terminal naming the file, the rule and what is wrong.
    """
    try:
        stat = Path(file).stat()
        return _read_rules(str(Path(file).absolute()), stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Terminal(f"the rules in {file} cannot be read: {error.strerror}") from None


@lru_cache(maxsize=8)
def _read_rules(file: str, _inode: int, _changed_ns: int, _bytes: int) -> tuple[Route, ...]:
    try:
        written = Rules.model_validate(tomllib.loads(Path(file).read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Terminal(f"{file} is not TOML: {error}") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        found.sort(key=lambda part: part["type"] != "extra_forbidden")  # a misspelt field explains the missing one
        faults = "; ".join(f"{_place(part['loc'])}: {part['msg']}" for part in found)
        raise Terminal(f"{file}: {faults}") from None
    names = [rule.name for rule in written.rule]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Terminal(f"{file}: two rules are called {twice!r}: a rule's name is part of its tasks' keys")
    return tuple(_route(rule, file) for rule in written.rule)


def _route(rule: Rule, file: str) -> Route:
    from orchestrator.sdk.expressions import BadCondition, BadTemplate, Condition, Template

    try:
        return Route(
            file,
            rule,
            Condition(rule.when, VARIABLES) if rule.when is not None else None,
            Template(rule.payload),
            Template(rule.idempotency_key) if rule.idempotency_key is not None else None,
        )
    except (BadCondition, BadTemplate) as error:
        raise Terminal(f"{file}, rule {rule.name!r}: {error}") from None


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


def _place(path: tuple[int | str, ...]) -> str:
    """Spell where in the file a fault is: `rule 2, priority`."""
    names = [str(part + 1) if isinstance(part, int) else part for part in path]
    return ", ".join([" ".join(names[:2]), *names[2:]])
