"""Declared sources: what can be declared, what is said of the rest, and how a variable holds several secrets."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.inspection import inspect
from orchestrator.sdk.rules import read_rules
from orchestrator.settings import Settings
from orchestrator.sources import Declaration, Hmac, open_key, read_sources, split_secrets

GOOD: dict[str, Any] = {"name": "shop", "scheme": "hmac", "secret_variable": "SHOP_SECRET", "hmac": {"header": "X-Sig"}}


def text_of(**fields: Any) -> str:
    given = {**GOOD, **fields}
    table = given.pop("hmac")
    lines = ["[[sources]]", *(f"{name} = {value!r}" for name, value in given.items() if value is not None)]
    if table is not None:
        lines += ["[sources.hmac]", *(f"{name} = {value!r}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.toml"


def hmac(**fields: Any) -> dict[str, Any]:
    return {"hmac": {"header": "X-Sig", **fields}}


def test_without_a_file_nothing_is_declared() -> None:
    assert read_sources(None).sources == ()


def test_a_declaration_has_defaults_and_the_body_alone_is_signed(file: Path) -> None:
    file.write_text(text_of())
    (source,) = read_sources(file).sources
    assert (source.tenant, source.tolerance_seconds, source.max_bytes) == ("default", 300, None)
    assert source.hmac is not None
    assert (source.hmac.template, source.hmac.encoding, source.hmac.algorithm) == ("{body}", "hex", "sha256")
    file.write_text(text_of(**hmac(timestamp_header="X-Time")))
    (source,) = read_sources(file).sources
    assert source.hmac is not None
    assert source.hmac.template == "{timestamp}.{body}"


@pytest.mark.parametrize(
    ("fields", "where", "word"),
    [
        ({"name": "Shop"}, "/sources/0/name", "match"),
        ({"name": "a/b"}, "/sources/0/name", "match"),
        ({"name": "github"}, "/sources/0", "another name"),
        ({"scheme": "md5"}, "/sources/0/scheme", "hmac"),
        ({"secret_variable": "whsec_abc"}, "/sources/0/secret_variable", "match"),
        ({"secret_variable": None}, "/sources/0/secret_variable", "required"),
        ({"secret": "s3cret"}, "/sources/0/secret", "not permitted"),
        ({"tenant": "a b"}, "/sources/0/tenant", "match"),
        ({"max_bytes": 0}, "/sources/0/max_bytes", "greater"),
        ({"max_bytes": 10**9}, "/sources/0/max_bytes", "less"),
        ({"tolerance_seconds": 86400}, "/sources/0/tolerance_seconds", "less"),
        ({"hmac": None}, "/sources/0", "table hmac"),
        ({"scheme": "stripe"}, "/sources/0", "table hmac"),
        (hmac(algorithm="md5"), "/sources/0/hmac/algorithm", "sha256"),
        (hmac(header="X Sig"), "/sources/0/hmac/header", "match"),
        (hmac(signed="v1"), "/sources/0/hmac", "{body} once"),
        (hmac(signed="{body}{body}"), "/sources/0/hmac", "{body} once"),
        (hmac(signed="{body}{tenant}"), "/sources/0/hmac", "{body} once"),
        (hmac(signed="{timestamp}{body}"), "/sources/0/hmac", "need each other"),
        (hmac(signed="{body}", timestamp_header="X-Time"), "/sources/0/hmac", "unsigned time"),
        (hmac(signed="{id}{body}"), "/sources/0/hmac", "id_header"),
    ],
)
def test_what_cannot_be_used_is_named_and_keeps_no_other_out(
    file: Path, fields: dict[str, Any], where: str, word: str
) -> None:
    file.write_text(text_of(**fields) + text_of(name="good"))
    declared = read_sources(file)
    assert [source.name for source in declared.sources] == ["good"]
    assert [(issue.pointer, word in issue.detail) for issue in declared.issues] == [(where, True)]
    assert "s3cret" not in str(declared.issues)


def test_two_of_one_name_are_one_too_many(file: Path) -> None:
    file.write_text(text_of() + text_of(tenant="acme"))
    declared = read_sources(file)
    assert [source.tenant for source in declared.sources] == ["default"]
    assert "twice" in declared.issues[0].detail


@pytest.mark.parametrize("text", ["[[sources]\n", "sources = 3\n", "[sources]\nname = 'x'\n", "sources = ['x']\n"])
def test_a_file_that_cannot_be_read_declares_nothing_and_says_so(file: Path, text: str) -> None:
    file.write_text(text)
    declared = read_sources(file)
    assert (declared.sources, len(declared.issues)) == ((), 1)


def test_rules_and_sources_stand_in_one_file(file: Path) -> None:
    file.write_text(text_of() + '[[rule]]\nname = "r"\nsource = "shop"\ntype = "hello"\n')
    assert [route.rule.name for route in read_rules(str(file))] == ["r"]
    assert [source.name for source in read_sources(file).sources] == ["shop"]


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("one-secret", ("one-secret",)),
        ("old-secret new-secret", ("old-secret", "new-secret")),
        ("old-secret,new-secret", ("old-secret", "new-secret")),
        (" old-secret ,\n\tnew-secret, ", ("old-secret", "new-secret")),
        ("It's a Secret to Everybody", ("It's a Secret to Everybody",)),
        ("short", ("short",)),
        ("a,b", ("a,b",)),
    ],
)
def test_several_secrets_are_told_from_a_pass_phrase(text: str, secrets: tuple[str, ...]) -> None:
    assert split_secrets(text) == secrets


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "whpk_" + "A" * 20, "whsec_%%%", "é", "whsk_" + "A" * 44])
def test_what_is_no_key_of_standard_webhooks_is_told(secret: str) -> None:
    assert open_key(secret) is None


def test_the_schema_of_a_declaration_names_every_field() -> None:
    described = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    for name in (*Declaration.model_fields, *Hmac.model_fields):
        assert f"`{name}`" in described, name


def test_what_the_guide_declares_can_be_used(file: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    file.write_text("\n".join(re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)))
    declared = read_sources(file)
    assert (declared.issues, [source.name for source in declared.sources]) == ((), ["acme-payments", "shop"])
    assert [route.rule.name for route in read_rules(str(file))] == ["new-issue", "deploy-by-command"]


def problems() -> dict[str, str]:
    found = asyncio.run(inspect(Settings(_env_file=None)))
    return {each.subject: each.detail for each in found if not each.is_well}


def test_check_reports_sources_that_cannot_be_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    standard = {"scheme": "standard", "hmac": None}
    file.write_text(
        text_of(scheme="md5") + text_of(name="unset") + text_of(name="std", secret_variable="STD_SECRET", **standard)
    )
    monkeypatch.setenv("STD_SECRET", "no-key-at-all")
    found = problems()
    assert "/sources/0/scheme" in found["AUREA_WEBHOOK_RULES"]
    assert "503" in found["SHOP_SECRET"]
    assert "whsec_" in found["STD_SECRET"]
    assert "no-key" not in str(found)
    file.write_text(text_of(name="std", secret_variable="STD_SECRET", **standard))
    monkeypatch.setenv("STD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert problems() == {}
