"""Sources as a user sets them up: what each needs to be greeted, whose tasks they make, how a secret is changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.ledger.migrate import migrate
from orchestrator.operations.relay import Relay
from tests.api.door import TOKEN, Door
from tests.api.senders import SECRET, SENDERS, open_to_all
from tests.conftest import Servers

SLACK, COMMAND, STRIPE, GITHUB, SHOP = (
    SENDERS[name] for name in ("slack", "slack command", "stripe", "github", "hmac")
)
Opener = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str) -> Opener:
    def opener(**given: Any) -> AbstractAsyncContextManager[Door]:
        return open_to_all(monkeypatch, tmp_path, database_url, redis_url, **given)

    return opener


@pytest.fixture
async def door(opened: Opener) -> AsyncIterator[Door]:
    async with opened() as door:
        yield door


async def tasks(door: Door, tenant: str = "default") -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Aurea-Tenant": tenant}
    return (await door.http.get("/tasks", headers=headers)).json()["items"]


def declared(name: str, variable: str, **fields: Any) -> str:
    written = {"scheme": "stripe", "tenant": "default", **fields, "name": name, "secret_variable": variable}
    return "\n[[sources]]\n" + "".join(
        f"{field} = {orjson.dumps(value).decode()}\n" for field, value in written.items()
    )


async def test_slack_gets_its_challenge_back_only_when_it_signed_it(door: Door) -> None:
    body = (
        b'{"token": "old", "type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXA"}'
    )
    greeted = await SLACK.send(door, SLACK.request(body=body))
    assert (greeted.status_code, greeted.text) == (200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXA")
    assert greeted.headers["content-type"].startswith("text/plain")
    forged = await SLACK.send(door, SLACK.request(body=body, secret="not-the-secret"))
    assert (forged.status_code, "3eZbrw" in forged.text) == (401, False)
    assert (await SLACK.send(door, SLACK.request(body=body, at=1531420618))).status_code == 401
    assert await tasks(door) == []


async def test_slack_commands_and_clicks_are_answered_with_an_empty_200(door: Door) -> None:
    clicked = {"type": "block_actions", "trigger_id": "t-9", "token": "old", "actions": [{"value": "né"}]}
    form = urlencode({"payload": orjson.dumps(clicked).decode()}).encode()
    answers = [await COMMAND.send(door), await COMMAND.send(door, COMMAND.request(body=form)), await COMMAND.send(door)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 3
    assert answers[0].headers["location"] == answers[2].headers["location"] != answers[1].headers["location"]
    click, command = [task["payload"] for task in await tasks(door)]
    assert (command["event"], command["delivery"]) == ("slash_command", "d-1")
    assert command["body"] == {"command": "/deploy", "text": "né", "trigger_id": "d-1"}
    assert (click["event"], click["delivery"]) == ("block_actions", "t-9")
    assert click["body"] == {"type": "block_actions", "trigger_id": "t-9", "actions": [{"value": "né"}]}
    assert (await COMMAND.send(door, COMMAND.request(body=b"ssl_check=1&token=old"))).content == b""
    assert len(await tasks(door)) == 2


async def test_an_event_that_slack_sends_again_is_the_same_task(door: Door) -> None:
    first = await SLACK.send(door, SLACK.request("Ev-1", at=None))
    again = SLACK.request("Ev-1")
    again.headers["X-Slack-Retry-Num"] = b"1"
    repeat = await SLACK.send(door, again)
    assert (first.status_code, repeat.status_code, repeat.json()["id"]) == (202, 200, first.json()["id"])


@pytest.mark.parametrize("name", ["stripe", "github", "hmac", "make", "slack"])
async def test_each_of_several_secrets_is_good_while_they_are_changed(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sender, both = SENDERS[name], f"{SECRET},\n the-new-one-0123456789"
    variables = {"stripe": "PAY_SECRET", "hmac": "SHOP_SECRET"}
    monkeypatch.setattr("tests.api.senders.VARIABLES", {variables[name]: both} if name in variables else {})
    fields = {"github": "github_webhook_secret", "make": "make_webhook_secret", "slack": "slack_signing_secret"}
    async with opened(**({fields[name]: both} if name in fields else {})) as door:
        for ident, secret in (("d-1", SECRET), ("d-2", "the-new-one-0123456789")):
            answer = await sender.send(door, sender.request(ident, secret=secret))
            assert answer.status_code == 202, answer.text
        assert (await sender.send(door, sender.request("d-3", secret=both))).status_code == 401
        records = (await door.http.get("/deliveries")).json()["items"]
        assert [each["secret"] for each in records] == [1, 0]


async def test_a_declared_source_makes_its_tenant_s_tasks_with_its_own_secret(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_SECRET", "acme-secret-0123456789")
    more = declared("acme-pay", "ACME_SECRET", tenant="acme") + declared(
        "acme-code", "ACME_SECRET", scheme="github", tenant="acme"
    )
    async with opened(more=more) as door:
        ours = await STRIPE.send(door)
        theirs = await STRIPE.send(door, STRIPE.request(secret="acme-secret-0123456789"), "acme-pay")
        assert (ours.status_code, theirs.status_code) == (202, 202)
        assert (await STRIPE.send(door, None, "acme-pay")).status_code == 401
        assert (await STRIPE.send(door, STRIPE.request(secret="acme-secret-0123456789"))).status_code == 401
        assert (
            await GITHUB.send(door, GITHUB.request(secret="acme-secret-0123456789"), "acme-code")
        ).status_code == 202
        assert [task["payload"]["source"] for task in await tasks(door)] == ["pay"]
        assert [task["payload"]["source"] for task in await tasks(door, "acme")] == ["acme-code", "acme-pay"]
        assert (await door.http.get(f"/tasks/{theirs.json()['id']}")).status_code == 404


async def test_a_source_has_limits_of_its_own(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAY2_SECRET", SECRET)
    async with opened(more=declared("small", "PAY2_SECRET", max_bytes=100, tolerance_seconds=5)) as door:
        big = STRIPE.request(body=orjson.dumps({"id": "x" * 100}))
        refused = await STRIPE.send(door, big, "small")
        assert (refused.status_code, refused.json()["limit_bytes"]) == (413, 100)
        assert (await STRIPE.send(door, big)).status_code == 202
        old = STRIPE.request("d-2", at=door.runtime.clock.now().timestamp() - 60)
        assert (await STRIPE.send(door, old, "small")).status_code == 401
        assert (await STRIPE.send(door, old)).status_code == 202


async def test_a_declared_hmac_reads_forms_and_text(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    how = (
        '[sources.hmac]\nheader = "X-Shop-Signature"\nprefix = "v2="\nencoding = "base64"\nalgorithm = "sha512"\n'
        'timestamp_header = "X-Shop-Time"\nid_header = "X-Shop-Id"\nsigned = "{id}:{timestamp}:{body}"\n'
    )
    monkeypatch.setenv("SHOP2_SECRET", SECRET)
    more = "".join(
        declared(kind, "SHOP2_SECRET", scheme="hmac") + how + f'body = "{kind}"\n' for kind in ("form", "text")
    )
    async with opened(more=more) as door:
        for kind, body in (("form", b"event=paid&sum=7%2C50"), ("text", '<order näme="1"/>'.encode())):
            answer = await SHOP.send(door, SHOP.request(body=body), kind)
            assert answer.status_code == 202, answer.text
        text, form = [task["payload"] for task in await tasks(door)]
        assert (form["event"], form["body"]) == ("paid", {"event": "paid", "sum": "7,50"})
        assert (text["event"], text["body"]) == ("webhook", '<order näme="1"/>')
        for body in (b"\xff", b"a\x00"):
            assert (await SHOP.send(door, SHOP.request("d-2", body=body), "text")).status_code in (400, 422)


async def test_a_variable_that_is_not_set_is_named_and_an_unknown_source_names_no_other(opened: Opener) -> None:
    async with opened(more=declared("later", "LATER_SECRET"), clickup_webhook_secret=None) as door:
        for name, variable in (("later", "LATER_SECRET"), ("clickup", "CLICKUP_WEBHOOK_SECRET")):
            answer = await STRIPE.send(door, None, name)
            assert (answer.status_code, answer.json()["variable"]) == (503, variable)
        unknown = await STRIPE.send(door, None, "nothing")
        assert unknown.status_code == 404
        assert not any(name in unknown.text for name in ("pay", "shop", "later"))


async def test_a_broken_declaration_is_answered_with_503_and_keeps_nobody_else_out(opened: Opener) -> None:
    async with opened(more=declared("wrong", "WRONG_SECRET", scheme="md5")) as door:
        assert (await STRIPE.send(door)).status_code == 202
        assert (await GITHUB.send(door)).status_code == 202
        answer = await STRIPE.send(door, None, "wrong")
        assert (answer.status_code, answer.json()["variable"]) == (503, "AUREA_WEBHOOK_RULES")


async def test_the_secrets_of_sources_are_kept_from_handlers(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKEN_SECRET", "GITHUB_WEBHOOK_SECRET", "SLACK_SIGNING_SECRET", "A_HANDLER_MAY_READ"):
        monkeypatch.setenv(name, "something-0123456789")
    async with opened(more=declared("wrong", "BROKEN_SECRET", scheme="md5")) as door:
        seen = door.runtime.config.values
        assert "A_HANDLER_MAY_READ" in seen
        hidden = {"PAY_SECRET", "STD_SECRET", "BROKEN_SECRET", "GITHUB_WEBHOOK_SECRET", "SLACK_SIGNING_SECRET"}
        assert hidden.isdisjoint(seen)


async def test_outcomes_are_counted_by_the_names_of_sources_alone(door: Door) -> None:
    for secret in (None, None, "wrong"):
        await STRIPE.send(door, STRIPE.request(secret=secret))
    await SLACK.send(door, SLACK.request(body=b'{"type": "url_verification", "challenge": "c"}'))
    for name in ("nothing", "x" * 200):
        await STRIPE.send(door, None, name)
    text = (await door.http.get("/metrics")).text
    (family,) = [each for each in text_string_to_metric_families(text) if each.name == "aurea_webhooks"]
    counted = {(sample.labels["source"], sample.labels["outcome"]): sample.value for sample in family.samples}
    assert counted == {("pay", outcome): 1 for outcome in ("accepted", "repeated", "refused")} | {
        ("slack", "answered"): 1
    }


async def test_deliveries_are_kept_once_while_postgres_is_away_and_put_on_record_when_it_is_back(
    own_servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    postgres = own_servers.postgres
    await migrate(postgres.url)
    async with open_to_all(monkeypatch, tmp_path, postgres.url, own_servers.valkey.url) as door:
        await asyncio.to_thread(postgres.stop)
        request = STRIPE.request("evt_1")
        answers = await asyncio.gather(*(STRIPE.send(door, request) for _ in range(100)))
        assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
        (task_id,) = {answer.json()["id"] for answer in answers}
        assert (await door.http.get("/deliveries")).status_code == 503
        await asyncio.to_thread(postgres.start_again)
        relay = Relay(door.runtime)
        async with asyncio.timeout(20):
            while door.runtime.standby.postgres.away:
                await relay.turn()
                await asyncio.sleep(0.05)
        repeat = await STRIPE.send(door, request)
        assert (repeat.status_code, repeat.json()["id"]) == (200, task_id)
        (record,) = (await door.http.get("/deliveries")).json()["items"]
        assert (record["task_id"], record["delivery_id"], record["event"]) == (task_id, "evt_1", "charge.paid")
        assert len(await tasks(door)) == 1
