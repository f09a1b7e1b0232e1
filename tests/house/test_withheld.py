"""Secrets of a process: hidden wherever they turn up, whatever their variable is called and however many it holds."""

from base64 import b64encode
from pathlib import Path

import pytest

from orchestrator.settings import SECRETS, Settings, read_settings
from orchestrator.withheld import handler_config, secrets_of

RULES = """
[[sources]]
name = "shop"
scheme = "stripe"
secret_variable = "SHOP_SIGNING"
"""


def test_every_secret_is_known_whole_and_in_its_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "webhooks.toml").write_text(RULES)
    keys = [b64encode(bytes([number]) * 32).decode() for number in (1, 2)]
    given = {
        "AUREA_WEBHOOK_RULES": str(tmp_path / "webhooks.toml"),
        "SHOP_SIGNING": "shop-secret-old, shop-secret-new",
        "SLACK_SIGNING_SECRET": "slack-secret-old slack-secret-new",
        "AUREA_SIGNING_SECRETS": f"{'m' * 40},{'n' * 40}",
        "AUREA_ENCRYPTION_KEYS": f"k1:{keys[0]},k2:{keys[1]}",
        "AUREA_TOKEN": "a-token-of-the-command-line",
        "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_service",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    parts = {"shop-secret-old", "shop-secret-new", "slack-secret-new", "m" * 40, "n" * 40, *keys}
    assert parts | {given["AUREA_TOKEN"], given["SUPABASE_SERVICE_ROLE_KEY"]} <= set(secrets_of(settings))
    seen = set(handler_config(settings).values)
    assert seen & set(given) == {"AUREA_WEBHOOK_RULES"}


def test_handlers_are_lent_the_keys_of_outside_services_and_no_other_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    for name in SECRETS:
        monkeypatch.setenv(name, "s3cret")
    models = {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"}
    others = {"GITHUB_TOKEN", "GITHUB_APP_PRIVATE_KEY", "RENDER_API_KEY", "SENTRY_DSN"}
    assert SECRETS & set(handler_config(settings).values) == models | others
    assert {"DATABASE_URL", "REDIS_URL", "AUREA_TOKEN", "AUREA_SIGNING_SECRETS", "SLACK_SIGNING_SECRET"} <= SECRETS
