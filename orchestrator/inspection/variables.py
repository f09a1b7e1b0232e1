"""Variables that nobody reads because their names are misspelled: the setting stays at its default, without a word."""

from collections.abc import Iterator
from difflib import get_close_matches

from orchestrator.inspection.finding import Finding
from orchestrator.settings import ClientSettings, Settings, environment
from orchestrator.sources import read_sources

_PREFIX = "AUREA_"
_NEARNESS = 0.85
"""Of one letter wrong in a short name; names that a handler chose for itself are farther away."""


def look_at_names(settings: Settings) -> Iterator[Finding]:
    """Name what begins like a setting, is none, and is near to one."""
    known = {name.upper() for name in Settings.model_fields}
    known |= {f"{_PREFIX}{name.upper()}" for name in ClientSettings.model_fields}
    known |= read_sources(settings.webhook_rules).variables
    for name in sorted(environment()):
        meant = _meant(name.upper(), known)
        if meant is not None:
            yield Finding(name, False, f"is no setting, and nobody reads it: write {meant}, or take it away")


def _meant(name: str, known: set[str]) -> str | None:
    if not name.startswith(_PREFIX) or name in known:
        return None
    if name.removeprefix(_PREFIX) in known:
        return name.removeprefix(_PREFIX)
    return next(iter(get_close_matches(name, known, n=1, cutoff=_NEARNESS)), None)
