"""Secrets of a process: which of its variables handlers never see, and what is hidden wherever it turns up."""

from pydantic import SecretStr

from orchestrator.sdk import Config
from orchestrator.settings import SECRETS, Settings, environment
from orchestrator.sources import read_sources, split_secrets
from orchestrator.telemetry import redaction

_LENT = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "RENDER_API_KEY",
        "SENTRY_DSN",
    }
)
"""The secrets that handlers may read: those of outside services. Every other of ours is withheld."""


def handler_config(settings: Settings) -> Config:
    """What handlers may read: the environment without the keys to our own stores and doors."""
    withheld = SECRETS - _LENT | read_sources(settings.webhook_rules).variables
    values = {name: value for name, value in environment().items() if name not in withheld}
    rules = settings.aurea_webhook_rules
    return Config(values if rules is None else {**values, "AUREA_WEBHOOK_RULES": str(rules)})


def secrets_of(settings: Settings) -> list[str]:
    """Everything that nobody is to read: settings of that type, variables with such a name, secrets of sources.

    A variable that holds several is there whole and in its parts.
    """
    values = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    values += [secret.get_secret_value() for secret in settings.aurea_signing_secrets]
    sources = read_sources(settings.webhook_rules).variables
    named = (value for name, value in environment().items() if name in sources or redaction.names_secret(name))
    values += named
    keys = settings.aurea_encryption_keys
    parts = [key.partition(":")[2] for key in (keys.get_secret_value() if keys else "").split(",")]
    return [*values, *(part for value in values for part in split_secrets(value)), *filter(None, parts)]
