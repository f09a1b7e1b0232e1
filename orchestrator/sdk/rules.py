"""Routing rules: which tasks a webhook delivery becomes, as they are written in a TOML file.

Here they are read, kept while their file does not change, and looked through for faults; `webhook_process` applies
them.
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.errors import UnknownType
from orchestrator.sdk.endings import Terminal

if TYPE_CHECKING:  # loading them takes half a second
    from orchestrator.sdk.expressions import Condition, Template

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


def faults_of(file: str, types: Collection[str] | None) -> Iterator[str]:
    """Say all that is wrong with a file of rules where tasks of these types can be made; None where nobody knows."""
    try:
        rules = _written(file)
    except Terminal as fault:
        yield str(fault)
        return
    for rule in rules:
        try:
            _route(rule, file)
        except Terminal as fault:
            yield str(fault)
        if types is not None and rule.type not in types:
            yield f"{file}, rule {rule.name!r}: {UnknownType(rule.type, sorted(types))}"


@lru_cache(maxsize=8)
def _read_rules(file: str, _inode: int, _changed_ns: int, _bytes: int) -> tuple[Route, ...]:
    return tuple(_route(rule, file) for rule in _written(file))


def _written(file: str) -> list[Rule]:
    """Raises OSError, or Terminal for what is no file of rules."""
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
    return written.rule


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


def _place(path: tuple[int | str, ...]) -> str:
    """Spell where in the file a fault is: `rule 2, priority`."""
    names = [str(part + 1) if isinstance(part, int) else part for part in path]
    return ", ".join([" ".join(names[:2]), *names[2:]])
