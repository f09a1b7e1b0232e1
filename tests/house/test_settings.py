"""The settings: what they accept, what they say about the rest, and that every place that lists them lists the same."""

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.domain.errors import InvalidInput
from orchestrator.settings import SECRETS, ClientSettings, Settings, environment, read_settings, read_what_is_good

ROOT = Path(__file__).parents[2]
SYSTEM = {name.upper() for name in Settings.model_fields}
CLIENT = {f"AUREA_{name.upper()}" for name in ClientSettings.model_fields}
EXAMPLE = (ROOT / ".env.example").read_text()
RENDER = yaml.safe_load((ROOT / "render.yaml").read_text())
LOCAL_ONLY = {"AUREA_HOME", "HOST", "PORT", "AUREA_CRASH_AT"}
"""Not for Render: it has no home, sets PORT itself, and the image sets HOST; and nothing is to crash there."""
PUBLIC = """
ENV PORT HOST AUREA_HOME DATABASE_URL REDIS_URL AUREA_API_TOKEN SUPABASE_URL SUPABASE_SERVICE_ROLE_KEY
SUPABASE_JWT_SECRET MAX_CONCURRENCY TASK_LEASE_SECONDS TASK_MAX_RETRIES TASK_TIMEOUT_SECONDS PRIORITY_STEP_SECONDS
MAX_QUEUE_DEPTH SHUTDOWN_GRACE_SECONDS MODEL_DAILY_BUDGET_USD ENABLE_SSE ENABLE_METRICS LOG_LEVEL LOG_FORMAT SENTRY_DSN
OTEL_EXPORTER_OTLP_ENDPOINT GITHUB_TOKEN GITHUB_APP_ID GITHUB_APP_PRIVATE_KEY GITHUB_APP_INSTALLATION_ID GITHUB_API_URL
GITHUB_WEBHOOK_SECRET CLICKUP_WEBHOOK_SECRET MAKE_WEBHOOK_SECRET SLACK_SIGNING_SECRET ANTHROPIC_API_KEY
ANTHROPIC_BASE_URL OPENAI_API_KEY OPENAI_BASE_URL GEMINI_API_KEY GEMINI_BASE_URL AUREA_HANDLERS
"""  # names that users rely on: none may go


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in SYSTEM | CLIENT:
        monkeypatch.delenv(name, raising=False)


def _refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as refusal:
        read_settings()
    return {issue.pointer: issue.detail for issue in refusal.value.issues}


def test_no_public_variable_is_missing() -> None:
    assert set(PUBLIC.split()) <= SYSTEM


def test_the_example_lists_every_variable_once() -> None:
    listed = re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    assert sorted(listed) == sorted(SYSTEM | CLIENT)


def test_the_example_holds_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE)
    from_example = read_settings()
    (tmp_path / ".env").unlink()
    assert from_example == read_settings()


def test_render_sets_every_variable_and_no_other() -> None:
    named = {variable["key"] for group in RENDER["envVarGroups"] for variable in group["envVars"]}
    for service in RENDER["services"]:
        named |= {variable["key"] for variable in service.get("envVars", ()) if "key" in variable}
    assert named == SYSTEM - LOCAL_ONLY


def test_render_keeps_no_secret_and_no_default_of_its_own() -> None:
    everything = [*RENDER["envVarGroups"], *(service for service in RENDER["services"] if "envVars" in service)]
    given = {v["key"]: v["value"] for place in everything for v in place["envVars"] if "value" in v}
    assert SECRETS & set(given) == set()
    changed = {"ENV": "production", "LOG_FORMAT": "json", "AUREA_TRUSTED_PROXIES": ("10.0.0.0/8",)}
    set_there = {name: getattr(Settings(**{name.lower(): text}), name.lower()) for name, text in given.items()}
    assert set_there == {name: changed.get(name, getattr(Settings(), name.lower())) for name in given}


def test_render_evicts_nothing_and_gives_every_process_both_stores() -> None:
    store = next(service for service in RENDER["services"] if service["type"] == "keyvalue")
    assert store["maxmemoryPolicy"] == "noeviction"
    for service in RENDER["services"]:
        if service is not store:
            keys = {variable.get("key") for variable in service["envVars"]}
            assert {"DATABASE_URL", "REDIS_URL"} <= keys, service["name"]


def test_every_bad_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    issues = _refused(monkeypatch, PORT="0", MAX_CONCURRENCY="many", ENV="prod", AUREA_TRACE_SAMPLE="1.5")
    assert set(issues) == {"PORT", "MAX_CONCURRENCY", "ENV", "AUREA_TRACE_SAMPLE"}
    assert "it is 'many'" in issues["MAX_CONCURRENCY"]
    assert "'production'" in issues["ENV"]


def test_a_secret_that_is_easily_guessed_signs_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _refused(monkeypatch, SUPABASE_JWT_SECRET="too-short")["SUPABASE_JWT_SECRET"]
    assert "32" in said
    assert "too-short" not in said


def test_a_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    issues = _refused(monkeypatch, REDIS_URL="https://eu.upstash.io/s3cret", DATABASE_URL="mysql://me:s3cret@here/db")
    assert set(issues) == {"REDIS_URL", "DATABASE_URL"}
    assert "rediss://" in issues["REDIS_URL"]
    assert "s3cret" not in str(issues)


def test_encryption_needs_keys_that_can_be_used_and_repeats_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "openssl rand" in _refused(monkeypatch, AUREA_ENCRYPT_TENANTS="acme")["AUREA_ENCRYPT_TENANTS"]
    issues = _refused(monkeypatch, AUREA_ENCRYPTION_KEYS="k1:czNjcmV0")
    assert set(issues) == {"AUREA_ENCRYPTION_KEYS"}
    assert "6 bytes, not 32" in issues["AUREA_ENCRYPTION_KEYS"]
    assert "czNjcmV0" not in str(issues)
    settings, _ = read_what_is_good()
    assert (settings.aurea_encryption_keys, settings.aurea_encrypt_tenants) == (None, ())


def test_a_cluster_needs_a_namespace_with_a_hash_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    issues = _refused(monkeypatch, REDIS_URL="redis+cluster://:s3cret@one:7000,two:7000")
    assert "AUREA_NAMESPACE needs a hash tag, {aurea}" in issues["REDIS_URL"]
    assert "s3cret" not in str(issues)
    monkeypatch.setenv("AUREA_NAMESPACE", "{aurea:eu}")
    assert read_settings().aurea_namespace == "{aurea:eu}"


def test_a_namespace_that_is_wrong_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(_refused(monkeypatch, REDIS_URL="redis+cluster://one", AUREA_NAMESPACE="{a}b")) == {"AUREA_NAMESPACE"}


def test_an_address_names_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the service" in _refused(monkeypatch, REDIS_URL="redis+sentinel://one:26379")["REDIS_URL"]


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUREA_API_TOKEN", "s3cret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s3cret@here/db")
    assert "s3cret" not in repr(read_settings())


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("MAX_QUEUE_DEPTH", "")
    assert read_settings().database_url is None
    assert read_settings().max_queue_depth is None


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUREA_HANDLERS", "shop.handlers, ./resize.py,")
    assert read_settings().aurea_handlers == ("shop.handlers", "./resize.py")


def test_the_environment_wins_over_dotenv_and_options_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=8001\nMAX_CONCURRENCY=3\nSHOP_KEY=from-file\n")
    monkeypatch.setenv("PORT", "8002")
    assert (read_settings().port, read_settings().max_concurrency) == (8002, 3)
    assert read_settings(port=8003, aurea_home=None).port == 8003
    assert environment()["SHOP_KEY"] == "from-file"
    assert environment()["PORT"] == "8002"


def test_webhook_rules_are_found_in_the_working_directory() -> None:
    assert read_settings().webhook_rules is None
    Path("webhooks.toml").touch()
    assert read_settings().webhook_rules == Path("webhooks.toml")
