"""What `aurea check` finds: every problem at once, each with the variable and what to do."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.inspection import inspect
from orchestrator.ledger.migrate import migrate
from orchestrator.settings import Settings, read_what_is_good
from tests.conftest import Servers
from tests.fakes.s3 import ACCESS_KEY, REGION, SECRET_KEY, serve_s3
from tests.faults.local_system import aurea
from tests.faults.system import free_port


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


async def problems(**given: Any) -> dict[str, str]:
    """What is not well, by variable."""
    return {found.subject: found.detail for found in await inspect(Settings(**given)) if not found.is_well}


async def test_a_migrated_database_and_a_redis_that_evicts_nothing_are_well(database_url: str, redis_url: str) -> None:
    found = await inspect(Settings(database_url=database_url, redis_url=redis_url))
    assert [each.subject for each in found] == ["AUREA_HANDLERS", "DATABASE_URL", "REDIS_URL"]
    assert all(each.is_well for each in found), found


async def test_embedded_servers_are_no_problem() -> None:
    assert await problems() == {}


async def test_an_unmigrated_database_and_an_evicting_redis_are_found(own_servers: Servers) -> None:
    with redis.Redis.from_url(own_servers.valkey.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    stores = {"database_url": own_servers.postgres.url, "redis_url": own_servers.valkey.url}
    found = await problems(**stores)
    assert all(part in found["DATABASE_URL"] for part in ("_orchestrator.sql", "run `aurea migrate`"))
    assert "noeviction" in found["REDIS_URL"]
    await migrate(own_servers.postgres.url)
    assert "DATABASE_URL" not in await problems(**stores)


async def test_a_wrong_password_and_a_server_away_are_told_without_the_secret(database_url: str) -> None:
    wrong = database_url.replace("postgres-password", "s3cret")
    found = await problems(database_url=wrong, redis_url="redis://:s3cret@127.0.0.1:1/0")
    assert "password authentication failed" in found["DATABASE_URL"]
    assert "127.0.0.1:1 cannot be used" in found["REDIS_URL"]
    assert "s3cret" not in str(found)


async def test_the_store_of_artifacts_is_looked_at_when_it_is_not_a_folder() -> None:
    with serve_s3("orchestrator", "content") as server:
        given = {"aurea_artifacts": "s3", "aurea_artifacts_endpoint": server.url}
        assert set(await problems(**given)) == {"AUREA_ARTIFACTS_ACCESS_KEY_ID"}
        keys = {"aurea_artifacts_access_key_id": ACCESS_KEY, "aurea_artifacts_secret_access_key": SECRET_KEY}
        given |= {"aurea_artifacts_region": REGION, **keys}
        assert "AUREA_ARTIFACTS" not in await problems(**given)
        wrong = await problems(**given | {"aurea_artifacts_secret_access_key": "s3cret"})
        assert "403 SignatureDoesNotMatch" in wrong["AUREA_ARTIFACTS"]
        assert "s3cret" not in str(wrong)
        del server.buckets["content"]
        assert "404 NoSuchBucket" in (await problems(**given))["AUREA_ARTIFACTS"]
    assert "cannot be used now" in (await problems(**given))["AUREA_ARTIFACTS"]


async def test_production_insists_on_servers_and_a_good_token() -> None:
    found = await problems(env="production")
    assert set(found) == {"DATABASE_URL", "REDIS_URL", "AUREA_API_TOKEN"}
    assert "nobody is admin" in found["AUREA_API_TOKEN"]
    assert "easily guessed" in (await problems(env="production", aurea_api_token="letmein"))["AUREA_API_TOKEN"]
    users = {"database_url": "postgresql://x", "redis_url": "redis://x", "aurea_api_token": "x" * 32}
    assert "https" in (await problems(env="production", supabase_url="http://project.example", **users))["SUPABASE_URL"]


async def test_half_a_github_app_is_a_problem() -> None:
    assert set(await problems(github_app_id="7", github_app_private_key="k")) == {"GITHUB_APP_INSTALLATION_ID"}


async def test_who_is_encrypted_under_which_key_is_told() -> None:
    keys = ",".join(f"{name}:{b64encode(name.encode() * 16).decode()}" for name in ("k2", "k1"))
    found = {each.subject: each.detail for each in await inspect(Settings(aurea_encryption_keys=keys))}
    assert found["AUREA_ENCRYPTION_KEYS"] == "nothing new sealed under k2, also opened under k1"
    settings = Settings(aurea_encryption_keys=keys, aurea_encrypt_tenants=("acme",))
    assert "values of acme sealed under k2" in str(await inspect(settings))


async def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "webhooks.toml").write_text("[[rules]\n")
    found = await problems(aurea_handlers=("broken.py",))
    assert "ZeroDivisionError" in found["AUREA_HANDLERS"]
    assert "broken.py, line 1" in found["AUREA_HANDLERS"]
    assert "webhooks.toml cannot be read" in found["AUREA_WEBHOOK_RULES"]
    assert "nowhere.toml" in (await problems(aurea_webhook_rules=Path("nowhere.toml")))["AUREA_WEBHOOK_RULES"]
    assert "no folder" in (await problems(aurea_content_templates=tmp_path / "none"))["AUREA_CONTENT_TEMPLATES"]


RULES = """
[[rule]]
name = "condition"
source = "github"
when = "body.action =="
type = "hello"

[[rule]]
name = "type"
source = "github"
type = "helo"

[[rule]]
name = "ours"
source = "github"
type = "webhook_deliver"

[[rule]]
name = "template"
source = "github"
type = "hello"
payload = { name = "{{ body.sender" }

[[rule]]
name = "good"
source = "github"
when = 'body.action == "opened"'
type = "hello"
payload = { name = "{{ body.sender.login }}" }
"""


async def test_every_rule_that_would_fail_at_its_first_delivery_is_named(tmp_path: Path) -> None:
    (tmp_path / "webhooks.toml").write_text(RULES)
    found = [each for each in await inspect(Settings()) if each.subject == "AUREA_WEBHOOK_RULES"]
    assert not any(each.is_well or "\n" in each.detail for each in found)
    assert [each.detail.split("rule '")[1].split("'")[0] for each in found] == ["condition", "type", "ours", "template"]
    assert "no handler is called 'helo'; the known types are: " in found[1].detail
    (tmp_path / "webhooks.toml").write_text(RULES.partition("[[rule]]")[0] + "[[rule]]\nname = 'one'\nsorce = 'x'\n")
    assert "rule 1, sorce: " in (await problems())["AUREA_WEBHOOK_RULES"]


async def test_a_secret_of_webhooks_that_is_easily_guessed_is_found_and_not_repeated() -> None:
    found = await problems(github_webhook_secret="hunter2", slack_signing_secret="s" * 32, make_webhook_secret="m" * 15)
    assert set(found) == {"GITHUB_WEBHOOK_SECRET", "MAKE_WEBHOOK_SECRET"}
    assert "16 random characters" in found["GITHUB_WEBHOOK_SECRET"]
    assert "hunter2" not in str(found)
    assert await problems(github_webhook_secret="new-secret-of-16,old-secret-of-16") == {}


async def test_a_misspelled_name_is_told_from_a_name_of_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    meant = {
        "AUREA_HANDLER": "AUREA_HANDLERS",
        "AUREA_API_TOKNE": "AUREA_API_TOKEN",
        "AUREA_ALLOWED_PRIVATE_HOSTS": "AUREA_ALLOW_PRIVATE_HOSTS",
        "AUREA_DATABASE_URL": "DATABASE_URL",
    }
    others = ("AUREA_URL", "AUREA_TENANT", "AUREA_CHAOS_SINK", "AUREA_SHOP_KEY", "AUREA_SHOP_TOKEN", "AUREAHANDLERS")
    for name in (*meant, *others):
        monkeypatch.setenv(name, "x")
    found = await problems()
    assert {name: said.split("write ")[1].split(",")[0] for name, said in found.items()} == meant


def test_a_host_that_is_none_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUREA_ALLOW_PRIVATE_HOSTS", "db.internal, *.internal")
    _, issues = read_what_is_good()
    assert [issue.pointer for issue in issues] == ["AUREA_ALLOW_PRIVATE_HOSTS"]
    assert "'*.internal' is not a host" in issues[0].detail


def test_the_command_prints_all_of_it_and_exits_with_one(tmp_path: Path) -> None:
    shown = aurea(tmp_path / "home", "check", PORT="0", REDIS_URL="memcached://x", AUREA_HANDLERS="no_such_module")
    assert shown.returncode == 1
    said = [line.split(":")[0] for line in shown.stdout.splitlines()]
    assert said == ["PROBLEM PORT", "PROBLEM REDIS_URL", "PROBLEM AUREA_HANDLERS", "ok      DATABASE_URL"]
    assert aurea(tmp_path / "home", "check").returncode == 0


def test_a_database_that_refuses_us_is_told_in_a_line(tmp_path: Path, servers: Servers) -> None:
    wrong = servers.postgres.url.replace("postgres-password", "s3cret")
    for verb in (["migrate"], ["up", "--port", str(free_port())]):
        refused = aurea(tmp_path / "home", *verb, DATABASE_URL=wrong)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: the database that DATABASE_URL names cannot be used: password")
        assert "Traceback" not in refused.stderr
