"""The templates of gen_content: the built-in ones, those of a folder, and what is said about bad ones."""

from pathlib import Path
from typing import Any

import pytest

from handlers.gen_content import gen_content
from handlers.gen_content.library import find
from orchestrator.domain.errors import InvalidInput
from orchestrator.sdk import ModelReply, Terminal, Usage
from orchestrator.testing import TaskRun, run_task

BUILT_IN = ("article", "documentation", "email", "faq", "social_post", "summary")
GOOD = """\
---
description: A verse
system: You are a poet.
variables:
  topic: {description: What it is about, required: true}
  lines: {description: How many lines, default: 4}
---
{% if lines %}{{ lines }} lines{% endif %} about {{ topic }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "verse.md").write_text(GOOD)
    return tmp_path


def written(template: str, variables: dict[str, Any], folder: Path | None = None, **payload: Any) -> TaskRun:
    config = {} if folder is None else {"AUREA_CONTENT_TEMPLATES": str(folder)}
    models = [ModelReply("A text.", "openai", "gpt-x", "end", Usage(), 0.0)]
    payload = {"template": template, "variables": variables, **payload}
    return run_task(gen_content, payload, config=config, models=models)


def fault(run: TaskRun) -> str:
    assert run.error is not None
    assert not run.error.retryable
    assert run.requests == []
    return run.error.message


def broken(folder: Path, text: str, **variables: Any) -> str:
    """What is said about a template, without the folder."""
    (folder / "bad.md").write_text(text)
    return fault(written("bad", variables, folder)).removeprefix(f"{folder}/")


def refused(template: str, **variables: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        gen_content.validate({"template": template, "variables": variables})
    return {issue.pointer: issue.detail for issue in refusal.value.issues}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_template_needs_only_what_it_requires(name: str) -> None:
    front = find(name, None).front
    needed = {variable: f"the {variable}" for variable, rule in front.variables.items() if rule.required}
    assert len(needed) == 1
    run = written(name, needed)
    [request] = run.requests
    assert next(iter(needed.values())) in request.messages[0].text
    assert str(request.system).startswith(str(front.system))
    assert run.artifacts[0][0].name == f"{name}.md"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_template_uses_every_variable_it_declares(name: str) -> None:
    every = {variable: f"<{variable}>" for variable in find(name, None).front.variables}
    prompt = written(name, every).requests[0].messages[0].text
    assert [value for value in every.values() if value not in prompt] == []


def test_points_may_be_a_list_or_a_text() -> None:
    listed = written("article", {"topic": "cats", "points": ["they purr", "they sleep"]}).requests[0].messages[0].text
    assert "It has to cover:\n- they purr\n- they sleep\n" in listed
    assert "- they purr\n" in written("article", {"topic": "cats", "points": "they purr"}).requests[0].messages[0].text


def test_variables_of_a_built_in_template_are_checked_before_the_task_is_taken() -> None:
    assert "the template needs it" in refused("faq")["/payload/variables/question"]
    assert "the template needs it" in refused("faq", question=" ")["/payload/variables/question"]
    assert "the template needs it" in refused("faq", question=None)["/payload/variables/question"]
    assert "it takes question, facts" in refused("faq", question="Why?", fact="x")["/payload/variables/fact"]
    assert set(refused("faq", colour="red", size=1)) == {
        f"/payload/variables/{name}" for name in ("colour", "size", "question")
    }


def test_a_template_of_the_users_own_is_a_file_in_the_folder(folder: Path) -> None:
    run = written("verse", {"topic": "rain"}, folder)
    [request] = run.requests
    assert request.messages[0].text == "4 lines about rain"
    assert str(request.system).startswith("You are a poet.")
    assert run.artifacts[0][0].name == "verse.md"


def test_the_payloads_system_stands_for_the_templates(folder: Path) -> None:
    [request] = written("verse", {"topic": "rain"}, folder, system="You are a plumber.").requests
    assert str(request.system).startswith("You are a plumber.")
    assert "poet" not in str(request.system)


def test_variables_of_an_own_template_are_checked_by_the_worker(folder: Path) -> None:
    said = fault(written("verse", {"colour": "red"}, folder))
    assert "verse.md" in said
    assert "colour: the template has no such variable; it takes topic, lines" in said
    assert "topic: the template needs it: What it is about" in said


def test_a_changed_file_counts_at_once(folder: Path) -> None:
    written("verse", {"topic": "rain"}, folder)
    (folder / "verse.md").write_text(GOOD.replace("lines{% endif %} about", "short lines{% endif %} about"))
    assert "short" in written("verse", {"topic": "rain"}, folder).requests[0].messages[0].text


def test_an_unknown_template_is_answered_with_the_known_ones(folder: Path) -> None:
    assert "there are article, documentation, email, faq, social_post, summary, verse" in fault(
        written("poem", {}, folder)
    )
    assert "set AUREA_CONTENT_TEMPLATES" in fault(written("poem", {}))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = fault(written("verse", {}, tmp_path / "nowhere"))
    assert said.startswith(f"AUREA_CONTENT_TEMPLATES names {tmp_path / 'nowhere'}, which is no folder")


def test_a_file_with_the_name_of_a_built_in_template_is_refused(folder: Path) -> None:
    (folder / "faq.md").write_text(GOOD)
    assert "faq.md has the name of a built-in template: rename it" in fault(
        written("faq", {"question": "Why?"}, folder)
    )
    assert written("article", {"topic": "rain"}, folder).error is None


def test_a_variable_is_never_a_template(folder: Path) -> None:
    run = written("verse", {"topic": "{{ lines }} {% include '/etc/passwd' %}"}, folder)
    assert run.requests[0].messages[0].text.endswith("about {{ lines }} {% include '/etc/passwd' %}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Just a prompt\n", "bad.md, line 1: a template begins with its front matter"),
        ("---\ndescription: x\n", "bad.md, line 1: a template begins with its front matter"),
        ("---\ndescription: x\n---\n \n", "bad.md, line 4: the prompt is missing"),
        ("---\ndescription: x\nsystem: [\n---\nP\n", "bad.md, line 3: the front matter is not YAML"),
        ("---\ndescription: x\n\tsystem: y\n---\nP\n", "bad.md, line 3: the front matter is not YAML"),
        ("---\n- x\n---\nP\n", "bad.md, line 2: Input should be a valid dictionary"),
        ("---\n---\nP\n", "bad.md, line 1: description: Field required"),
        ("---\nsystem: x\n---\nP\n", "bad.md, line 2: description: Field required"),
        ("---\ndescription: x\nsytem: y\n---\nP\n", "bad.md, line 3: sytem: Extra inputs are not permitted"),
        ("---\ndescription: x\nvariables:\n  a:\n    required: maybe\n", "bad.md, line 1: a template begins"),
        (
            "---\ndescription: x\nvariables:\n  a:\n    description: y\n    required: maybe\n---\nP\n",
            "bad.md, line 6: variables.a.required: Input should be a valid boolean",
        ),
        ("---\ndescription: x\nvariables:\n  a: {required: true}\n---\nP\n", "bad.md, line 4: variables.a.description"),
        (
            "---\ndescription: x\nvariables:\n  a: {description: y, required: true, default: 1}\n---\nP\n",
            "bad.md, line 4: variables.a: a variable is required or has a default, not both",
        ),
        (
            "---\ndescription: x\nvariables:\n  Big Name: {description: y}\n---\nP\n",
            "bad.md, line 4: variables.Big Name",
        ),
        ("---\ndescription: x\n---\n\nHello {{ name }}\n", "bad.md, line 5: 'name' is none of its variables"),
        ("---\ndescription: x\n---\n{% if a %}{{ b }}{% endif %}\n", "bad.md, line 4: 'a' is none of its variables"),
        ("---\ndescription: x\n---\nHello\n{{ 1 +\n", "bad.md, line 5: unexpected"),
        ("---\ndescription: x\n---\n{{ 'a' | shout }}\n", "bad.md, line 4: No filter named 'shout'"),
        ("---\ndescription: x\n---\nA\n{% include 'other.md' %}\n", "bad.md, line 5: only expressions and if are for"),
        ("---\ndescription: x\n---\n{% import 'os' as os %}\n", "bad.md, line 4: only expressions and if are for"),
        ("---\ndescription: x\n---\n{% for n in [1] %}n{% endfor %}\n", "bad.md, line 4: only expressions and if"),
        ("---\ndescription: x\n---\nA\n{{ ''.__class__ }}\n", "bad.md, line 5: access to attribute '__class__'"),
        ("---\ndescription: x\n---\nA\nB\n{{ 1 / 0 }}\n", "bad.md, line 6: division by zero"),
        ("---\ndescription: x\n---\n{{ '' }}\n", "bad.md, line 4: the prompt is empty"),
    ],
)
def test_a_bad_template_is_told_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    assert broken(tmp_path, text).startswith(said)


def test_a_template_that_is_no_text_or_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"---\ndescription: \xff\n---\nP\n")
    assert "bad.md is not UTF-8" in fault(written("bad", {}, tmp_path))
    assert "at most 65536" in broken(tmp_path, f"---\ndescription: x\n---\n{'P' * 70_000}\n")
    assert "at most 10000 characters" in broken(tmp_path, f"---\ndescription: x\n---\n{{{{ 1 }}}}{'P' * 10_000}\n")
    (tmp_path / "bad.md").unlink()
    (tmp_path / "bad.md").mkdir()
    assert "no template 'bad'" in fault(written("bad", {}, tmp_path))


def test_only_a_name_can_be_looked_for(folder: Path) -> None:
    for name in ("../verse", "/etc/passwd", "verse.md", "VERSE", "", "a/b"):
        with pytest.raises(InvalidInput):
            gen_content.validate({"template": name})
    with pytest.raises(Terminal, match="no template"):
        find("nothing", str(folder))
