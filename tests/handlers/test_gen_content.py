"""gen_content: what it asks, what it keeps, and every way an answer can turn out."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from handlers.gen_content import gen_content
from handlers.gen_content.answer import unfenced
from orchestrator.domain.errors import (
    BudgetExceeded,
    InvalidInput,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    NotConfigured,
)
from orchestrator.domain.labels import check_name
from orchestrator.sdk import ModelReply, ModelRequest, Usage
from orchestrator.sdk.model import Stop
from orchestrator.testing import TaskRun, run_task

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


def reply(text: str, *, stop: Stop = "end", data: Any = None) -> ModelReply:
    return ModelReply(text, "anthropic", "claude-x", stop, Usage(10, 20), 0.0042, data=data)


def written(text: str, *, stop: Stop = "end", data: Any = None, **payload: Any) -> TaskRun:
    return run_task(gen_content, {"prompt": "Write.", **payload}, models=[reply(text, stop=stop, data=data)])


def refused(**payload: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        gen_content.validate(payload)
    return {issue.pointer: issue.detail for issue in refusal.value.issues}


def message(run: TaskRun) -> str:
    assert run.error is not None
    assert not run.error.retryable
    return run.error.message


def test_a_prompt_becomes_a_stored_document() -> None:
    run = written("# Cats\n\nThey purr.\n")
    [(artifact, data)] = run.artifacts
    assert data == b"# Cats\n\nThey purr."
    assert (artifact.name, artifact.bucket) == ("content.md", "content")
    assert artifact.content_type == "text/markdown; charset=utf-8"
    assert run.result["text"] == "# Cats\n\nThey purr."
    assert (run.result["provider"], run.result["model"], run.result["cost_usd"]) == ("anthropic", "claude-x", 0.0042)
    assert run.result["usage"] == {"input_tokens": 10, "output_tokens": 20, "cached_tokens": 0, "cache_write_tokens": 0}
    assert run.result["artifact"]["id"] == artifact.id
    assert run.result["truncated"] is False


def test_the_text_is_streamed_while_it_grows() -> None:
    run = written("They purr.")
    assert len(run.tokens) > 1
    assert "".join(run.tokens) == "They purr."


def test_the_model_is_asked_within_the_limits_of_the_payload() -> None:
    limits = {"provider": "openai", "model": "gpt-x", "max_tokens": 77, "max_cost_usd": 0.5, "on_budget": "wait"}
    [request] = written("Text.", **limits, system="You are brief.").requests
    assert [(turn.role, turn.text) for turn in request.messages] == [("user", "Write.")]
    assert request.system is not None
    assert request.system.startswith("You are brief.\n\nAnswer in Markdown")
    assert {name: getattr(request, name) for name in limits} == limits
    assert request.stream


def test_a_prompt_is_no_template() -> None:
    [request] = run_task(gen_content, {"prompt": "What is {{ this }}?"}, models=[reply("A text.")]).requests
    assert request.messages[0].text == "What is {{ this }}?"


@pytest.mark.parametrize("kill_at", range(1, 6))
def test_killed_anywhere_it_leaves_one_document_of_one_answer(kill_at: int) -> None:
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> ModelReply:
        asked.append(request)
        return reply(f"Answer {len(asked)}.")

    whole = run_task(gen_content, {"prompt": "Write."}, models=answer)
    assert whole.boundaries < 5, "another boundary: let the range above grow"
    asked.clear()
    run = run_task(gen_content, {"prompt": "Write."}, models=answer, kill_at=kill_at)
    [(artifact, data)] = run.artifacts
    assert run.result["text"].encode() == data
    assert run.result["artifact"]["sha256"] == artifact.sha256
    assert len(asked) == (2 if kill_at == 1 else 1), "only an answer that was not kept yet is asked for again"


def test_a_second_attempt_answers_from_the_kept_answer() -> None:
    first = written("Once.")
    second = run_task(gen_content, {"prompt": "Write."}, steps=first.steps, attempt=2)
    assert second.requests == []
    assert second.result["text"] == "Once."


def test_html_is_made_safe() -> None:
    run = written('```html\n<h1 onclick="x()">Cats</h1><script>alert(1)</script><p>They purr.\n```', output="html")
    assert run.result["text"] == "<h1>Cats</h1><p>They purr.</p>"
    [(artifact, data)] = run.artifacts
    assert data.decode() == run.result["text"]
    assert (artifact.name, artifact.content_type) == ("content.html", "text/html; charset=utf-8")
    assert "HTML fragment" in str(run.requests[0].system)


def test_html_of_which_nothing_is_safe_is_no_document() -> None:
    run = written("<script>alert(1)</script>", output="html")
    assert "nothing that is safe to embed" in message(run)
    assert run.artifacts == []


def test_json_is_the_checked_value() -> None:
    run = written('{"title": "Cats"}', data={"title": "Cats"}, output="json", schema=SCHEMA, name="cats.json")
    assert run.result["data"] == {"title": "Cats"}
    assert "text" not in run.result
    assert run.requests[0].schema == SCHEMA
    [(artifact, data)] = run.artifacts
    assert orjson.loads(data) == {"title": "Cats"}
    assert (artifact.name, artifact.content_type) == ("cats.json", "application/json")


def test_a_text_that_was_cut_off_is_kept_and_says_so() -> None:
    run = written("Once upon a", stop="length")
    assert (run.result["text"], run.result["truncated"]) == ("Once upon a", True)
    assert [line.fields["level"] for line in run.logs] == ["warning"]


def test_html_that_was_cut_off_is_still_whole() -> None:
    run = written("```html\n<ul><li>one<li>tw", stop="length", output="html")
    assert run.result["text"] == "<ul><li>one</li><li>tw</li></ul>"


def test_json_that_was_cut_off_says_what_to_raise() -> None:
    run = written('{"title": "Ca', stop="length", output="json", schema=SCHEMA)
    assert "cut off after 20 tokens: raise max_tokens" in message(run)
    assert run.artifacts == []


def test_json_that_was_whole_before_it_was_cut_off_counts() -> None:
    run = written('{"title": "Cats"} and', stop="length", data={"title": "Cats"}, output="json", schema=SCHEMA)
    assert (run.result["data"], run.result["truncated"]) == ({"title": "Cats"}, True)


@pytest.mark.parametrize("text", ["", "  \n ", "```markdown\n```"])
def test_an_empty_answer_is_no_document(text: str) -> None:
    run = written(text)
    assert "anthropic:claude-x is empty" in message(run)
    assert run.artifacts == []


def test_json_without_a_value_is_no_document() -> None:
    assert "holds no JSON" in message(written("sorry", output="json", schema=SCHEMA))


def test_a_refusal_is_final_and_repeats_what_was_said() -> None:
    run = written("I cannot help with that.", stop="refusal")
    assert message(run) == "anthropic:claude-x refused to answer: I cannot help with that."
    assert run.artifacts == []


@pytest.mark.parametrize(
    ("raised", "retryable", "after"),
    [
        (ModelRefused("openai", "gpt-x", "key", "the key was refused"), False, None),
        (ModelMalformed("it is not JSON, not even when told so"), True, None),
        (ModelUnavailable("nobody answers", retry_after_seconds=7), True, 7),
        (NotConfigured("ANTHROPIC_API_KEY", "to the key of your account"), False, None),
        (
            BudgetExceeded("task", limit_usd=1, spent_usd=1, reserved_usd=0, asked_usd=0.1, resets_at=None),
            False,
            None,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_model_layer_raises_leaves_no_document(
    raised: Exception, retryable: bool, after: float | None
) -> None:
    run = run_task(gen_content, {"prompt": "Write."}, models=[raised])
    assert run.error is not None
    assert (run.error.type, run.error.message) == (type(raised).__name__, str(raised))
    assert (run.error.retryable, run.retry_after_seconds) == (retryable, after)
    assert run.artifacts == []


def test_a_payload_says_what_to_write_once() -> None:
    assert refused() == {"/payload/template": "Value error, give either a prompt or the name of a template"}
    assert "/payload/template" in refused(prompt="a", template="faq", variables={"question": "b"})
    assert "/payload/prompt" in refused(prompt=" \n")
    assert "/payload/template" in refused(template="../../etc/passwd")
    assert "/payload/variables" in refused(prompt="a", variables={"b": 1})


def test_a_payload_that_contradicts_itself_is_refused() -> None:
    assert "/payload/model" in refused(prompt="a", model="gpt-x")
    assert "schema" in refused(prompt="a", output="json")["/payload/output"]
    assert "schema" in refused(prompt="a", output="json", schema={})["/payload/output"]
    assert "schema" in refused(prompt="a", schema=SCHEMA)["/payload/output"]
    assert "/payload/max_tokens" in refused(prompt="a", max_tokens=0)
    assert "/payload/max_cost_usd" in refused(prompt="a", max_cost_usd=0)


@pytest.mark.parametrize("name", ["../b", "a/b", "a\\b", ".", "..", " ", "", "a\nb", "a\u202eb", "a\u2028b", "a" * 201])
def test_a_name_that_the_store_would_refuse_is_refused_before_anything_is_paid(name: str) -> None:
    assert "/payload/name" in refused(prompt="a", name=name)


@pytest.mark.parametrize("name", ["a", "Größe (2).md", "2026-11 notes.md", "猫.md", "a" * 200])
def test_a_name_is_a_label_in_any_language(name: str) -> None:
    check_name(written("A text.", name=name).artifacts[0][0].name)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("```markdown\n# A\n```", "# A"),
        ("```md\n# A\n```", "# A"),
        ("```\n# A\n```", "# A"),
        ("```\r\n# A\r\n```\r\n", "# A"),
        ("~~~~markdown\n# A\n~~~~", "# A"),
        ("\n```Markdown \n# A\n\n```python\nx\n```\n\nEnd.\n```\n", "# A\n\n```python\nx\n```\n\nEnd."),
        ("````markdown\n```\nx\n```\n````", "```\nx\n```"),
    ],
)
def test_a_fence_around_the_whole_answer_is_taken_off(text: str, inside: str) -> None:
    assert unfenced(text, "markdown") == inside


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx\n```",
        "```\na\n```\nbetween\n```\nb\n```",
        "```markdown\na\n```\nbetween\n```python\nb\n```",
        "```markdown\nnever closed",
        "Before\n```\na\n```",
        "```markdown",
        "`code`",
    ],
)
def test_a_fence_that_is_content_stays(text: str) -> None:
    assert unfenced(text, "markdown") == text


def test_the_fence_of_an_answer_that_broke_off_is_taken_off_too() -> None:
    assert unfenced("```html\n<p>a", "html", is_cut=True) == "<p>a"


def test_the_templates_are_found_beside_the_handler() -> None:
    folder = Path(__file__).parents[2] / "handlers" / "gen_content" / "templates"
    named = {"article", "faq", "documentation", "summary", "social_post", "email"}
    assert {file.stem for file in folder.iterdir()} == named
