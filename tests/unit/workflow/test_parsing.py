"""Workflows checked as a whole: what is wrong, and exactly where."""

from typing import Any

import pytest

from orchestrator.domain.workflow.drawing import draw
from orchestrator.domain.workflow.expressions import MAX_TEMPLATES
from orchestrator.domain.workflow.inputs import fill
from orchestrator.domain.workflow.parsing import parse
from orchestrator.domain.workflow.workflow import MAX_ITEMS, MAX_STEPS

SOUND: dict[str, Any] = {
    "name": "Ship it",
    "description": "Build, look, tell.",
    "inputs": {
        "service": {"type": "string", "required": True},
        "hosts": {"type": "array", "default": ["a", "b"]},
        "level": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "anything": None,
    },
    "steps": [
        {"id": "build", "uses": "make", "with": {"target": "{{ inputs.service }}"}, "retry": 2, "timeout": 90},
        {
            "id": "look",
            "name": 'Look "around"',
            "uses": "probe",
            "needs": "build",
            "for_each": "{{ inputs.hosts }}",
            "if": 'item != "c" && steps.build.output.ok',
            "with": {"host": "{{ item }}", "number": "{{ index }}", "task": "{{ task.id }}"},
            "continue_on_error": True,
        },
        {"id": "end", "uses": "tell", "needs": ["look"], "always": True, "with": {"how": "{{ steps.build.status }}"}},
    ],
    "outputs": {"seen": "{{ steps.look.output | length }}", "fixed": [1, "two"]},
}


def faults(value: Any) -> dict[str, str]:
    return {issue.pointer: issue.detail for issue in parse(value)[1]}


def with_steps(*steps: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"steps": [{"id": f"s{place}", "uses": "make"} | step for place, step in enumerate(steps)]} | rest


def test_a_sound_workflow_has_no_fault() -> None:
    workflow, issues = parse(SOUND)
    assert issues == []
    assert [step.id for step in workflow.steps] == ["build", "look", "end"]
    assert workflow.steps[0].timeout_seconds == 90
    assert workflow.steps[1].needs == ("build",)
    assert workflow.steps[1].asks_each_item
    assert workflow.ancestors["end"] == {"build", "look"}
    assert workflow.outputs.open_places == ["/seen"]


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        ([], "", "must be an object"),
        (None, "", "must be an object"),
        ({"steps": []}, "/steps", "at least one step"),
        ({"steps": {"a": {}}}, "/steps", "at least one step"),
        ({"steps": ["a"]}, "/steps/0", "must be an object"),
        (with_steps({}, jobs=1), "/jobs", "is not a known field"),
        (with_steps({"run": "ls"}), "/steps/0/run", "is not a known field"),
        (with_steps({"id": None}), "/steps/0/id", "is required"),
        (with_steps({"id": "a-b"}), "/steps/0/id", "a letter or _"),
        (with_steps({"id": 3}), "/steps/0/id", "must be a string"),
        (with_steps({"id": "a"}, {"id": "a"}), "/steps/1/id", "another step is called 'a'"),
        (with_steps({"uses": ""}), "/steps/0/uses", "must be a string"),
        (with_steps({"uses": None}), "/steps/0/uses", "is required"),
        (with_steps({"retry": -1}), "/steps/0/retry", "whole number"),
        (with_steps({"retry": True}), "/steps/0/retry", "whole number"),
        (with_steps({"timeout": 0}), "/steps/0/timeout", "more than 0"),
        (with_steps({"timeout": "1h"}), "/steps/0/timeout", "number of seconds"),
        (with_steps({"continue_on_error": "yes"}), "/steps/0/continue_on_error", "true or false"),
        (with_steps({"always": True}), "/steps/0/always", "nothing to wait for"),
        (with_steps({}, name=7), "/name", "must be a string"),
        (with_steps({"needs": 3}), "/steps/0/needs", "must be an array"),
        (with_steps({"needs": ["x"]}), "/steps/0/needs/0", "there is no step 'x'; there are: s0"),
        (with_steps({}, {"needs": ["s0", "s0"]}), "/steps/1/needs/1", "named twice"),
        (with_steps({"needs": ["s0"]}), "/steps/0/needs/0", "a cycle: s0 needs s0"),
        (
            with_steps({"needs": ["s2"]}, {}, {"needs": ["s1", "s0"]}),
            "/steps/0/needs/0",
            "a cycle: s0 needs s2 needs s0",
        ),
        (with_steps({}, {"needs": ["s2"]}, {"needs": ["s1"]}), "/steps/1/needs/0", "a cycle: s1 needs s2 needs s1"),
        (with_steps({"for_each": "abc"}), "/steps/0/for_each", "an array, or one expression"),
        (with_steps({"for_each": "a{{ inputs }}"}), "/steps/0/for_each", "an array, or one expression"),
        (with_steps({"for_each": None}), "/steps/0/for_each", "an array, or one expression"),
        (with_steps({"for_each": [0] * (MAX_ITEMS + 1)}), "/steps/0/for_each", "at most 1000"),
        (with_steps({"for_each": ["{{ item }}"]}), "/steps/0/for_each/0", "item and index in a step with for_each"),
        (with_steps(*[{}] * (MAX_STEPS + 1)), "/steps", "at most 100"),
        (with_steps({"with": ["{{ task }}"] * (MAX_TEMPLATES + 1)}), "/steps", "at most 500"),
        (with_steps({"uses": "aurea_action"}), "/steps/0/with", "written out"),
        (with_steps({"uses": "aurea_action", "with": "{{ inputs }}"}), "/steps/0/with", "written out"),
    ],
)
def test_a_fault_is_named_where_it_is(value: Any, pointer: str, words: str) -> None:
    found = faults(value)
    assert pointer in found, found
    assert words in found[pointer]


@pytest.mark.parametrize(
    ("step", "pointer", "words"),
    [
        ({"if": ""}, "if", "must be a condition"),
        ({"if": 3}, "if", "must be a condition"),
        ({"if": "inputs.x &&"}, "if", "is not CEL"),
        ({"if": "${{ inputs.x }}"}, "if", "without {{ and }}"),
        ({"if": "nothing == 1"}, "if", "no variable 'nothing'"),
        ({"if": "open('/etc/passwd')"}, "if", "no function 'open'"),
        ({"if": "inputs.y == 1"}, "if", "no input 'y'; declared are: x"),
        ({"if": "steps.other.status == 'failed'"}, "if", "may not have ended yet"),
        ({"if": "steps.before.state == 1"}, "if", "a step has no 'state'"),
        ({"if": "item == 1"}, "if", "no variable 'item'"),
        ({"if": "(" * 500 + ")" * 500}, "if", "is not CEL"),
        ({"if": "[1].map(a, [2].map(b, 3)) == []"}, "if", "comprehension inside another"),
        ({"with": {"a": ["{{ x }}"]}}, "with/a/0", "no variable 'x' here; there are: inputs, steps, task"),
        ({"with": {"a/b": "{{ inputs.x"}}, "with/a~1b", "is no template"),
        ({"with": "{{ inputs.x | nothing }}"}, "with", "nothing"),
        ({"with": {"a": "{% for a in inputs.x %}{% endfor %}"}}, "with/a", "only expressions and if"),
        ({"with": {"a": "{{ " + "(" * 3000 + ")" * 3000 + " }}"}}, "with/a", "too deep"),
        ({"with": {"a": "{{ steps.nobody.output }}"}}, "with/a", "no step 'nobody'"),
        ({"with": {"a": "{{ steps.here.output }}"}}, "with/a", "may not have ended yet"),
        ({"with": {"a": "{{ steps.before.outputs.b }}"}}, "with/a", "no 'outputs', it has output, status, error"),
        ({"with": {"a": "{{ task.tenant }}"}}, "with/a", "task has no 'tenant'"),
        ({"with": {"a": "{{ index }}"}}, "with/a", "no variable 'index'"),
        ({"for_each": "{{ steps.other.output }}"}, "for_each", "may not have ended yet"),
    ],
)
def test_an_expression_is_judged_where_it_stands(step: dict[str, Any], pointer: str, words: str) -> None:
    steps = [{"id": "before"}, {"id": "other"}, {"id": "here", "needs": ["before"], **step}]
    found = faults(with_steps(*steps, inputs={"x": {}}))
    assert list(found) == [f"/steps/2/{pointer}"]
    assert words in found[f"/steps/2/{pointer}"]


def test_what_can_be_seen_through_others_needs_no_need_of_its_own() -> None:
    steps = [
        {},
        {"needs": "s0"},
        {"needs": "s1", "with": {"a": "{{ steps.s0.output.b }}"}, "if": "has(steps.s1.output)"},
    ]
    assert faults(with_steps(*steps, outputs="{{ steps }}")) == {}
    shadowed = {"for_each": [1], "if": "inputs.l.exists(item, item > 1)"}
    assert faults(with_steps({"if": "inputs.l.exists(item, item > 1)"}, shadowed, inputs={"l": {}})) == {}


def test_everything_is_said_at_once() -> None:
    value = with_steps(
        {"retry": "x", "with": "{{ a }}", "if": "b"}, {"needs": ["q"]}, {"id": 1}, outputs="{{ c }}", d=1
    )
    assert set(faults(value)) == {
        "/d", "/outputs", "/steps/0/retry", "/steps/0/with", "/steps/0/if", "/steps/1/needs/0", "/steps/2/id",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("declaration", "pointer"),
    [
        ([], "/inputs"),
        ({"a-b": {}}, "/inputs/a-b"),
        ({"a": 3}, "/inputs/a"),
        ({"a": {"kind": 1}}, "/inputs/a/kind"),
        ({"a": {"type": "text"}}, "/inputs/a/type"),
        ({"a": {"enum": []}}, "/inputs/a/enum"),
        ({"a": {"minimum": "1"}}, "/inputs/a/minimum"),
        ({"a": {"type": "integer", "default": "1"}}, "/inputs/a/default"),
        ({"a": {"enum": ["x"], "default": "y"}}, "/inputs/a/default"),
    ],
)
def test_a_declaration_is_judged(declaration: Any, pointer: str) -> None:
    assert list(faults(with_steps({}, inputs=declaration))) == [pointer]


def test_inputs_have_defaults_and_are_judged() -> None:
    inputs = parse(SOUND)[0].inputs
    values, issues = fill(inputs, {"service": "api"})
    assert (values, issues) == ({"service": "api", "hosts": ["a", "b"], "level": 3, "anything": None}, [])
    _, issues = fill(inputs, {"hosts": "a", "level": 10, "more": 1}, "/inputs")
    assert {issue.pointer: issue.detail for issue in issues} == {
        "/inputs/more": "is not an input of this workflow; declared are: service, hosts, level, anything",
        "/inputs/service": "is required",
        "/inputs/hosts": "must be an array",
        "/inputs/level": "must be at most 9",
    }
    assert [issue.detail for issue in fill(inputs, {"service": "a", "level": True})[1]] == ["must be an integer"]


def test_a_drawing_shows_every_step_and_need_and_breaks_nothing() -> None:
    assert draw(parse(SOUND)[0]).splitlines() == [
        "flowchart TD",
        '    s_build["<b>build</b><br/>make"]',
        '    s_look[["<b>Look #34;around#34;</b><br/>probe'
        '<br/>if item #33;#61; #34;c#34; #38;#38; steps.build.output.ok<br/><i>for each, may fail</i>"]]',
        '    s_end(["<b>end</b><br/>tell<br/><i>always</i>"])',
        "    s_build --> s_look",
        "    s_look --> s_end",
    ]
