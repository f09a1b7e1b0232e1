"""The only reader of the environment: every variable, its default and its bounds.

A field is the variable's name in lower case. An empty variable counts as not set; the file `.env` in the working
directory is read too, and the real environment wins over it. An entry point calls `read_settings` once and hands the
result on.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator import crash
from orchestrator.artifacts.choice import Choice, StoreKind
from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.models import chain
from orchestrator.models.access import Access
from orchestrator.models.chain import PROVIDERS
from orchestrator.variables import (
    HttpUrl,
    Names,
    SigningSecrets,
    check_hosts,
    check_master_keys,
    check_networks,
    check_origins,
    check_redis,
    check_sealable,
    upper,
    with_scheme,
)

DOTENV = ".env"
DEFAULT_RULES = Path("webhooks.toml")
MIB = 1024 * 1024


class Settings(BaseSettings):
    """What one process of the system is told; frozen."""

    model_config = SettingsConfigDict(env_file=DOTENV, env_ignore_empty=True, extra="ignore", frozen=True)

    # Where it runs and what it stores in. Without a URL: the embedded server under AUREA_HOME.
    env: Literal["development", "test", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    aurea_home: Path = Path(".aurea")
    database_url: Annotated[SecretStr, with_scheme("postgresql", "postgres")] | None = None
    aurea_namespace: str = Field("aurea", pattern=r"^([A-Za-z0-9_.-]{1,40}|\{[A-Za-z0-9_.:-]{1,38}\})$")
    redis_url: Annotated[SecretStr, BeforeValidator(check_redis)] | None = None
    aurea_redis_replicas: int = Field(0, ge=0, le=10)
    aurea_db_pooler: Literal["transaction", "session"] | None = None
    aurea_db_pool_size: int = Field(10, ge=2, le=500)

    # Where the files of tasks are.
    aurea_artifacts: StoreKind = "local"
    aurea_artifacts_bucket_prefix: str = Field("", pattern=r"^[a-z0-9][a-z0-9.-]{0,40}$|^$")
    aurea_artifacts_links: bool = True
    aurea_artifacts_endpoint: HttpUrl | None = None
    aurea_artifacts_region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]{1,40}$")
    aurea_artifacts_access_key_id: SecretStr | None = None
    aurea_artifacts_secret_access_key: SecretStr | None = None
    aurea_max_artifact_bytes: int = Field(50 * MIB, ge=1024, le=1024 * MIB)

    # Who may call.
    aurea_api_token: SecretStr | None = None
    supabase_url: HttpUrl | None = None
    supabase_service_role_key: SecretStr | None = None
    supabase_jwt_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    aurea_cors_origins: Annotated[Names, AfterValidator(check_origins)] = ()
    aurea_docs: bool | None = None

    # Who is encrypted at rest, and under which keys: the first seals, all of them open.
    aurea_encryption_keys: Annotated[SecretStr, BeforeValidator(check_master_keys)] | None = None
    aurea_encrypt_tenants: Annotated[Names, AfterValidator(check_sealable)] = ()

    # How often one may call in a minute; those of tenants are in their profiles.
    aurea_rate_per_address: int | None = Field(6000, ge=1, le=10**6)
    aurea_rate_per_principal: int | None = Field(None, ge=1, le=10**6)
    aurea_trusted_proxies: Annotated[Names, AfterValidator(check_networks)] = ()

    # How tasks run.
    max_concurrency: int = Field(8, ge=1, le=10_000)
    task_lease_seconds: float = Field(60, ge=1, le=3600)
    task_max_retries: int = Field(6, ge=0, le=100)
    task_timeout_seconds: float = Field(900, gt=0, le=7 * 86400)
    priority_step_seconds: float = Field(3600, ge=0.001, le=30 * 86400)
    max_queue_depth: int | None = Field(None, ge=1)
    shutdown_grace_seconds: float = Field(30, ge=0, le=3600)
    model_daily_budget_usd: float = Field(25, ge=0, le=1e9)
    aurea_handlers: Names = ()
    aurea_allow_private_hosts: Annotated[Names, AfterValidator(check_hosts)] = ()
    aurea_webhook_rules: Path | None = None
    aurea_content_templates: Path | None = None
    aurea_code_checks: bool = False
    centerpoint_scripts: Path | None = None
    centerpoint_net: Names = ()
    centerpoint_env: Names = ()
    centerpoint_read: Names = ()
    centerpoint_write: Names = ()
    centerpoint_import: Names = ()
    aurea_max_body_bytes: int = Field(MIB, ge=1024, le=1024 * MIB)
    aurea_max_batch_bytes: int = Field(16 * MIB, ge=1024, le=1024 * MIB)
    aurea_max_result_bytes: int = Field(MIB, ge=1024, le=128 * MIB)
    aurea_retention_days: int = Field(30, ge=1, le=36_500)

    # What can be seen.
    enable_sse: bool = True
    enable_metrics: bool = True
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(upper)] = "INFO"
    log_format: Literal["json", "pretty"] | None = None
    sentry_dsn: SecretStr | None = None
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    aurea_trace_sample: float = Field(0.01, ge=0, le=1)

    # For tests only: where this process dies.
    aurea_crash_at: Annotated[Names, AfterValidator(crash.check)] = ()

    # Outside services. Absent ones are refused where they are needed, by name.
    github_token: SecretStr | None = None
    github_app_id: str | None = None
    github_app_private_key: SecretStr | None = None
    github_app_installation_id: str | None = None
    github_api_url: HttpUrl = "https://api.github.com"
    render_api_key: SecretStr | None = None
    render_api_url: HttpUrl = "https://api.render.com/v1"
    deploy_hook_hosts: Names = ()
    github_webhook_secret: SecretStr | None = None
    clickup_webhook_secret: SecretStr | None = None
    make_webhook_secret: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None

    # What goes out is signed with secrets made of these; the first makes those that are shown, the others sign too.
    aurea_signing_secrets: SigningSecrets = ()

    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: HttpUrl | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: HttpUrl | None = None
    gemini_api_key: SecretStr | None = None
    gemini_base_url: HttpUrl | None = None

    # Which models are meant, and what they cost where that is not known.
    anthropic_model: str = "claude-sonnet-5-5"
    openai_model: str = "gpt-6.1-sol"
    gemini_model: str = "gemini-3.8-flash"
    aurea_model_chain: Annotated[Names, AfterValidator(chain.check)] = PROVIDERS
    aurea_prices: Path | None = None

    @property
    def docs(self) -> bool:
        """Whether the pages that describe the API are served."""
        return self.env != "production" if self.aurea_docs is None else self.aurea_docs

    @property
    def webhook_rules(self) -> Path | None:
        """The file of routing rules: the one that is named, else `webhooks.toml` where there is one."""
        return self.aurea_webhook_rules or (DEFAULT_RULES if DEFAULT_RULES.exists() else None)

    def secret_of(self, variable: str) -> SecretStr | None:
        """A secret by the name of its variable: one of those above, or one that a declared webhook source names."""
        if variable.lower() not in type(self).model_fields:
            text = environment().get(variable)
            return None if text is None else SecretStr(text)
        value = getattr(self, variable.lower())
        return value if isinstance(value, SecretStr) else None

    @property
    def artifact_choice(self) -> Choice:
        """Where the files of tasks are."""
        return Choice(
            kind=self.aurea_artifacts,
            folder=self.aurea_home / "artifacts",
            bucket_prefix=self.aurea_artifacts_bucket_prefix,
            signs=self.aurea_artifacts_links,
            s3_endpoint=self.aurea_artifacts_endpoint,
            s3_region=self.aurea_artifacts_region,
            s3_access_key_id=self.aurea_artifacts_access_key_id,
            s3_secret_access_key=self.aurea_artifacts_secret_access_key,
            supabase_url=self.supabase_url,
            supabase_key=self.supabase_service_role_key,
        )

    @property
    def model_accesses(self) -> list[Access]:
        """How each provider of models is reached."""
        words = ("model", "api_key", "base_url")
        return [Access(name, *(getattr(self, f"{name}_{word}") for word in words)) for name in PROVIDERS]


class ClientSettings(BaseSettings):
    """What the command line needs to reach a running system."""

    model_config = SettingsConfigDict(
        env_prefix="AUREA_", env_file=DOTENV, env_ignore_empty=True, extra="ignore", frozen=True
    )

    url: str = "http://127.0.0.1:8000"
    token: SecretStr | None = None
    tenant: str | None = None
    home: Path = Path(".aurea")

    @property
    def token_file(self) -> Path:
        """Where `aurea up` leaves its token."""
        return self.home / "token"

    def read_token(self) -> str | None:
        """Return AUREA_TOKEN, else what is in the token file, else None."""
        if self.token is not None:
            return self.token.get_secret_value().strip() or None
        try:
            return self.token_file.read_text().strip() or None
        except OSError:
            return None


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secret(part) for part in get_args(annotation))


SECRETS = frozenset(
    f"{each.model_config.get('env_prefix', '')}{name}".upper()
    for each in (Settings, ClientSettings)
    for name, field in each.model_fields.items()
    if _holds_secret(field.annotation)
)
"""The variables of ours whose values nobody is to read: those with that type, and only that says so."""


def read_settings(**given: Any) -> Settings:
    """The settings of this process; `given` (from command line options) win over the environment.

    Raises InvalidInput with one issue per variable, its pointer the variable's name; secrets are not repeated in it.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        issues = [Issue(str(part["loc"][0]).upper(), _said(part)) for part in error.errors()]
        raise InvalidInput("the configuration cannot be used", issues) from None


def read_what_is_good() -> tuple[Settings, Sequence[Issue]]:
    """The settings with every variable that cannot be used at its default, and what is wrong with those."""
    try:
        return read_settings(), ()
    except InvalidInput as refusal:
        wrong = {issue.pointer.lower() for issue in refusal.issues}
        if "aurea_encryption_keys" in wrong:
            wrong.add("aurea_encrypt_tenants")  # means nothing without them
        return Settings(**{name: Settings.model_fields[name].default for name in wrong}), refusal.issues


def environment() -> dict[str, str]:
    """Every variable that is set for this process, those of `.env` included: what handlers may ask for by name."""
    return {name: value for name, value in {**dotenv_values(DOTENV), **os.environ}.items() if value}


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that this one starts."""
    return {**os.environ, **changes}


def _said(part: Any) -> str:
    secret = str(part["loc"][0]).upper() in SECRETS
    sent = "" if secret else f"; it is {part['input']!r}"
    return f"{part['msg'].removeprefix('Value error, ')}{sent}"
