"""Webhooks as `aurea check` finds them: the file of rules, the sources it declares, and the secrets of all sources."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.discovery import discover
from orchestrator.domain.delivery import PROCESSOR
from orchestrator.domain.errors import HandlerBroken
from orchestrator.domain.subscription import DELIVER
from orchestrator.inspection.finding import Finding
from orchestrator.sdk.rules import faults_of
from orchestrator.settings import Settings
from orchestrator.sources import BUILT_IN, fault_of, read_sources

_RULES = "AUREA_WEBHOOK_RULES"


def look_at_rules(settings: Settings) -> Iterator[Finding]:
    """Say nothing where there is no such file."""
    rules = settings.webhook_rules
    if rules is None:
        return
    try:
        tomllib.loads(rules.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield Finding(_RULES, False, f"{rules} cannot be read: {error}")
        return
    faults = list(_faults(settings, rules))
    yield from (Finding(_RULES, False, " ".join(fault.split())) for fault in faults)
    if not faults:
        yield Finding(_RULES, True, str(rules))


def _faults(settings: Settings, rules: Path) -> Iterator[str]:
    try:
        types = {name for name in discover(settings.aurea_handlers).known() if name not in (PROCESSOR, DELIVER)}
    except HandlerBroken:  # which is told by itself
        types = None
    yield from faults_of(str(rules), types)
    yield from (f"{rules}, {issue.pointer}: {issue.detail}" for issue in read_sources(rules).issues)


def look_at_secrets(settings: Settings) -> Iterator[Finding]:
    """Say nothing of a built-in source without a secret: it is not used."""
    declared = read_sources(settings.webhook_rules).sources
    sources = [(name, name, variable) for name, variable in BUILT_IN.items()]
    sources += [(source.name, source.scheme, source.secret_variable) for source in declared]
    for name, scheme, variable in sources:
        secret = settings.secret_of(variable)
        if secret is not None:
            if fault := fault_of(scheme, secret.get_secret_value()):
                yield Finding(variable, False, fault)
        elif name not in BUILT_IN:
            yield Finding(variable, False, f"is not set: webhooks of {name} are answered with 503")
