"""webhook_process: which tasks a delivery becomes by the rules of a file."""

from pathlib import Path
from typing import Any

import pytest

from handlers.http_request import http_request
from handlers.webhook_process import RULES_VARIABLE, WebhookDelivery, webhook_process
from orchestrator.domain.errors import KeyConflict, Unavailable, UnknownType
from orchestrator.sdk import Terminal
from orchestrator.testing import FakeContext, TaskRun, run_task
from tests.fixtures.github import DELIVERIES, ISSUE, PULL_REQUEST, PUSH, Delivery, delivery

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhooks.toml"
ROUTED = {
    "code_scanning_alert.created": ["security-alert"],
    "dependabot_alert.created": ["security-alert"],
    "secret_scanning_alert.created": ["security-alert"],
    "secret_scanning_alert.reopened": ["security-alert"],
    "issues.opened": ["new-issue", "audit"],
    "pull_request.opened": ["review-pull-request", "audit"],
    "pull_request.synchronize": ["review-pull-request", "audit"],
    "push": ["deploy-main", "audit"],
    "workflow_run.completed": ["failed-workflow", "audit"],
}


def payload_of(made: Delivery, ident: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958") -> dict[str, Any]:
    headers = {"X-GitHub-Hook-ID": "7"}
    return {"source": "github", "event": made.event, "delivery": ident, "headers": headers, "body": made.body}


async def process(made: Delivery, rules: Path | str | None = EXAMPLE, **options: Any) -> TaskRun:
    config = {} if rules is None else {RULES_VARIABLE: str(rules)}
    return await run_task(webhook_process, payload_of(made, **options), config=config)


@pytest.fixture
def rules(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        file = tmp_path / "rules.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def rule(**fields: str) -> str:
    """A rule for `push` in TOML; values as they are written there."""
    written = {"name": '"one"', "source": '"github"', "type": '"notify"', **fields}
    return "[[rule]]\n" + "".join(f"{name} = {value}\n" for name, value in written.items())


@pytest.mark.parametrize("made", DELIVERIES, ids=lambda made: made.name)
async def test_every_github_event_takes_its_way_through_the_example(made: Delivery) -> None:
    run = await process(made)
    assert run.error is None
    assert run.result["matched"] == ROUTED.get(made.name, ["audit"])
    assert [each["rule"] for each in run.result["submitted"]] == run.result["matched"]
    assert len(run.submitted) == len(run.result["matched"])
    for submission in run.submitted:
        http_request.validate(submission.payload)


async def test_templates_fill_the_payload_and_keep_types() -> None:
    run = await process(delivery("issues", "opened", issue=ISSUE))
    triage = run.submitted[0]
    assert triage.type == "http_request"
    assert triage.priority == 3
    assert triage.payload["json"] == {
        "text": '#1347 Spelling "error" in the README…',
        "number": 1347,
        "labels": ["bug", "good first issue"],
    }


async def test_a_title_from_outside_is_never_a_template() -> None:
    run = await process(delivery("issues", "opened", issue={**ISSUE, "title": "{{ 7*7 }}{% raw %}"}))
    assert run.submitted[0].payload["json"]["text"] == "#1347 {{ 7*7 }}{% raw %}"


async def test_a_second_run_asks_for_the_same_tasks() -> None:
    made = delivery("push", **PUSH)
    first, second = (await process(made)).submitted, (await process(made)).submitted
    assert [(each.key, each.payload) for each in first] == [(each.key, each.payload) for each in second]
    assert [each.key for each in first] == [
        f"deploy acme/rocket {PUSH['after']}",
        "webhook:github:72d3162e-cc78-11e3-81ab-4c9367dc0958:audit",
    ]


async def test_another_delivery_of_the_same_event_gets_keys_of_its_own() -> None:
    made = delivery("star", "created")
    keys = [(await process(made, ident=ident)).submitted[0].key for ident in ("a", "b")]
    assert keys == ["webhook:github:a:audit", "webhook:github:b:audit"]


async def test_a_key_that_is_too_long_is_shortened_and_stays_its_own(rules: Any) -> None:
    file = rules(rule(idempotency_key='"{{ body.text }}"'))
    keys = [(await process(Delivery("push", {"text": "x" * 300 + end}), file)).submitted[0].key for end in "ab"]
    assert [len(key) <= 255 for key in keys] == [True, True]
    assert keys[0] != keys[1]


async def test_stop_keeps_later_rules_out(rules: Any) -> None:
    later = rule(name='"broken"', when="'body.action.matches(\"(\")'")
    file = rules(rule(name='"first"') + rule(name='"last"', stop="true") + later)
    run = await process(delivery("push", "x"), file)
    assert run.result["matched"] == ["first", "last"]


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"event": '"push"'}, True),
        ({"event": '"pu*"'}, True),
        ({"event": '"Push"'}, False),
        ({"event": '"pull_request"'}, False),
        ({"source": '"git*"'}, True),
        ({"source": '"gitlab"'}, False),
        ({"action": '"opened"'}, False),
        ({"when": '\'headers["x-github-hook-id"] == "7"\''}, True),
        ({"when": "'body.missing == 1'"}, False),
        ({"when": "'body.commits.exists(c, c.message.contains(\"bugs\"))'"}, True),
        ({"queue": '"deploy"'}, True),
    ],
)
async def test_a_rule_matches_by_source_event_action_and_condition(
    rules: Any, fields: dict[str, str], matches: bool
) -> None:
    run = await process(delivery("push", **PUSH), rules(rule(**fields)))
    assert run.error is None
    assert bool(run.submitted) is matches


async def test_a_condition_that_does_not_fit_the_body_is_passed_over_and_told(rules: Any) -> None:
    file = rules(rule(when="'body.base_ref.name == \"x\"'") + rule(name='"two"'))
    run = await process(delivery("push", **PUSH), file)
    assert run.result["matched"] == ["two"]
    assert "'one' is passed over" in run.logs[0].text


async def test_a_body_of_any_shape_is_taken(rules: Any) -> None:
    for body in ([1, 2], "text", None, 5):
        made = Delivery("x", body)  # type: ignore[arg-type]
        run = await process(made, rules(rule(payload='{ all = "{{ body }}" }')))
        assert run.submitted[0].payload == {"all": body}


async def test_without_rules_it_succeeds_and_names_both_ways_to_add_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = await process(delivery("push", **PUSH), None)
    assert run.result == {"matched": [], "submitted": []}
    assert RULES_VARIABLE in run.logs[0].text
    assert str(tmp_path / "webhooks.toml") in run.logs[0].text


async def test_rules_in_the_working_directory_come_and_go_while_the_worker_runs(
    rules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = delivery("push", **PUSH)
    assert (await process(made, None)).result["matched"] == []
    rules(rule()).rename(tmp_path / "webhooks.toml")
    assert (await process(made, None)).result["matched"] == ["one"]
    (tmp_path / "webhooks.toml").unlink()
    gone = await process(made, None)
    assert (gone.error, gone.result["matched"]) == (None, [])
    (tmp_path / "webhooks.toml").mkdir()
    unreadable = (await process(made, None)).error
    assert unreadable is not None
    assert "webhooks.toml cannot be read" in unreadable.message
    assert RULES_VARIABLE not in unreadable.message


async def test_that_no_rule_matched_is_told(rules: Any) -> None:
    run = await process(delivery("push", **PUSH), rules(rule(event='"other"')))
    assert run.result == {"matched": [], "submitted": []}
    assert "no rule" in run.logs[0].text


async def test_a_changed_file_is_read_anew(rules: Any) -> None:
    file = rules(rule())
    assert (await process(delivery("push"), file)).result["matched"] == ["one"]
    rules(rule(name='"another"'))
    assert (await process(delivery("push"), file)).result["matched"] == ["another"]


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("[[rule", ["is not TOML"]),
        (rule().replace("rule", "rules"), ["rules: Extra inputs"]),
        (rule() + rule(name='"two"', priority="12"), ["rule 2, priority: ", "less than or equal to 9"]),
        ('[[rule]]\nname = "x"\nsource = "github"\n', ["rule 1, type: Field required"]),
        (rule(whn="'true'"), ["rule 1, whn: Extra inputs"]),
        (rule().replace("source", "sauce"), ["rule 1, sauce: Extra inputs", "rule 1, source: Field required"]),
        (rule() + rule(), ["two rules are called 'one'"]),
        (rule(when="'bodi.x == 1'"), ["rule 'one'", "no variable 'bodi'"]),
        (rule(when="'body.'"), ["rule 'one'", "is not CEL"]),
        (rule(when="'body.ref'"), ["rule 'one'", "not true or false"]),
        (rule(payload='{ x = "{{" }'), ["rule 'one'", "is not a template"]),
        (rule(payload='{ x = "{{ body.missing }}" }'), ["rule 'one'", "missing"]),
        (rule(idempotency_key='"{{ body.missing }}"'), ["rule 'one'", "missing"]),
        (rule(payload='{ x = "{{ body.__class__ }}" }'), ["rule 'one'", "unsafe"]),
    ],
)
async def test_a_broken_file_is_final_and_names_file_rule_and_fault(
    rules: Any, text: str, complaints: list[str]
) -> None:
    file = rules(text)
    run = await process(delivery("push", **PUSH), file)
    assert run.error is not None
    assert not run.error.retryable
    assert run.submitted == []
    for complaint in [str(file), *complaints]:
        assert complaint in run.error.message


async def test_a_file_that_is_not_there_is_final_and_names_the_variable(tmp_path: Path) -> None:
    run = await process(delivery("push"), tmp_path / "none.toml")
    assert run.error is not None
    assert not run.error.retryable
    assert f"{RULES_VARIABLE} names {tmp_path / 'none.toml'}, which is not there" in run.error.message


async def test_a_file_that_is_not_text_is_final(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    run = await process(delivery("push"), tmp_path / "x.toml")
    assert run.error is not None
    assert "is not TOML" in run.error.message


class Refusing(FakeContext):
    def __init__(self, file: Path, refusal: Exception) -> None:
        super().__init__(config={RULES_VARIABLE: str(file)})
        self._refusal = refusal

    async def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refusal


@pytest.mark.parametrize("refusal", [UnknownType("notify", ["noop"]), KeyConflict("k", "other")])
async def test_a_task_that_is_refused_is_final_and_names_the_rule(rules: Any, refusal: Exception) -> None:
    made = WebhookDelivery.model_validate(payload_of(delivery("push")))
    with pytest.raises(Terminal, match="rule 'one': "):
        await webhook_process(made, Refusing(rules(rule()), refusal))


async def test_a_store_that_is_away_is_no_fault_of_the_rule(rules: Any) -> None:
    made = WebhookDelivery.model_validate(payload_of(delivery("push")))
    with pytest.raises(Unavailable):
        await webhook_process(made, Refusing(rules(rule()), Unavailable("postgres")))


async def test_a_draft_is_not_reviewed() -> None:
    run = await process(delivery("pull_request", "opened", pull_request={**PULL_REQUEST, "draft": True}))
    assert run.result["matched"] == ["audit"]
