"""Which sources there are: the four that are built in, and those that the file of routing rules declares.

Put together once, when the API starts: a source that is added, or a secret that is changed, counts from the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog
from pydantic import SecretStr

from app.webhooks import clickup, generic, github, make, slack, standard, stripe
from app.webhooks.source import Scheme, Source
from orchestrator.domain.errors import NotConfigured, NotFound
from orchestrator.domain.ids import DEFAULT_TENANT, Tenant
from orchestrator.settings import Settings
from orchestrator.sources import BUILT_IN, Declaration, read_sources, split_secrets

_log = structlog.get_logger("app.webhooks")

SCHEMES: Mapping[str, Scheme] = {
    "github": github.SCHEME,
    "clickup": clickup.SCHEME,
    "make": make.SCHEME,
    "slack": slack.SCHEME,
    "standard": standard.SCHEME,
    "stripe": stripe.SCHEME,
}


@dataclass(frozen=True, slots=True)
class Register:
    """Every source by its name."""

    sources: Mapping[str, Source]
    is_whole: bool
    """False when there are declarations that cannot be used: an unknown name may be one of theirs."""

    def find(self, name: str) -> Source:
        """Return a source. Raises NotFound, or NotConfigured where it may be one that is declared wrongly.

        Declared names are not listed: strangers ask here.
        """
        source = self.sources.get(name)
        if source is None and self.is_whole:
            built_in = ", ".join(sorted(BUILT_IN))
            raise NotFound(
                f"no webhook source is called {name[:64]!r}: it is none of the built-in ones ({built_in}), and none "
                "that this system's [[sources]] declare"
            )
        if source is None:
            raise NotConfigured("AUREA_WEBHOOK_RULES", "to a file whose [[sources]] can be used: see `aurea check`")
        return source


def open_register(settings: Settings) -> Register:
    """Return the sources; what is wrong with declared ones is logged, and the others serve."""
    declared = read_sources(settings.webhook_rules)
    for issue in declared.issues:
        _log.error("source_unusable", where=issue.pointer, reason=issue.detail)
    built_in = [
        _source(name, SCHEMES[name], name, variable, settings.secret_of(variable))
        for name, variable in BUILT_IN.items()
    ]
    others = [_declared(each, settings.secret_of(each.secret_variable)) for each in declared.sources]
    return Register({source.name: source for source in [*built_in, *others]}, not declared.issues)


def _declared(how: Declaration, secret: SecretStr | None) -> Source:
    scheme = SCHEMES[how.scheme] if how.hmac is None else generic.scheme(how.hmac)
    return _source(how.name, scheme, how.scheme, how.secret_variable, secret, how)


def _source(
    name: str, scheme: Scheme, scheme_name: str, variable: str, secret: SecretStr | None, how: Declaration | None = None
) -> Source:
    texts = () if secret is None else split_secrets(secret.get_secret_value())
    own = Source(name, scheme, scheme_name, variable, tuple(map(SecretStr, texts)), DEFAULT_TENANT, scheme.most_bytes)
    if how is None:
        return own
    return replace(
        own,
        tenant=Tenant(how.tenant),
        most_bytes=how.max_bytes or own.most_bytes,
        tolerance_seconds=how.tolerance_seconds,
    )
