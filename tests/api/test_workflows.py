"""Workflows at the door: a sound one is a task, any other is refused with everything that is wrong with it."""

from typing import Any

from tests.api.door import Door

SOUND = {
    "inputs": {"text": {"type": "string", "required": True}},
    "steps": [
        {"id": "one", "uses": "greet", "with": {"text": "{{ inputs.text }}", "times": 2}},
        {"id": "two", "uses": "greet", "needs": ["one"], "with": {"text": "{{ steps.one.output }}"}},
    ],
}


async def post(door: Door, workflow: Any, inputs: Any = None) -> tuple[int, dict[str, str]]:
    payload = {"workflow": workflow, "inputs": {"text": "a"} if inputs is None else inputs}
    answer = await door.http.post("/tasks", json={"type": "aurea_action", "payload": payload})
    errors = answer.json().get("errors", [])
    return answer.status_code, {error["pointer"]: error["detail"] for error in errors}


async def test_a_sound_workflow_is_a_task(door: Door) -> None:
    assert await post(door, SOUND) == (201, {})
    assert await post(door, "steps:\n  - {id: a, uses: greet}\n", inputs={}) == (201, {})


async def test_everything_that_is_wrong_is_answered_with_its_pointer(door: Door) -> None:
    before = await door.stored()
    workflow = {
        "inputs": {"n": {"type": "integer", "default": "x"}},
        "steps": [
            {"id": "a", "uses": "greet", "needs": ["b"], "with": {"txt": "a"}},
            {"id": "b", "uses": "greet", "needs": ["a", "nobody"]},
            {"id": "c", "uses": "gret", "if": "a ==", "with": "{{ steps.a.output }}"},
            {"id": "d", "uses": "greet", "with": {"text": "{{ 1", "times": [1]}},
            {"id": "a", "uses": "greet", "more": 1},
        ],
    }
    status, errors = await post(door, workflow, inputs={"q": 1})
    assert status == 422
    assert set(errors) == {
        "/payload/workflow/inputs/n/default",
        "/payload/workflow/steps/0/needs/0",
        "/payload/workflow/steps/0/with/txt",
        "/payload/workflow/steps/1/needs/1",
        "/payload/workflow/steps/2/uses",
        "/payload/workflow/steps/2/if",
        "/payload/workflow/steps/2/with",
        "/payload/workflow/steps/3/with/text",
        "/payload/workflow/steps/3/with/times",
        "/payload/workflow/steps/4/id",
        "/payload/workflow/steps/4/more",
        "/payload/inputs/q",
    }
    assert errors["/payload/workflow/steps/1/needs/1"] == "there is no step 'nobody'; there are: a, b, c, d"
    assert await door.stored() == before


async def test_a_text_is_refused_by_its_line_and_a_bomb_is_not_unfolded(door: Door) -> None:
    _, errors = await post(door, "steps:\n  - id: a\n    uses: greet\n    with: {times: x}\n", inputs={})
    assert errors["/payload/workflow/steps/0/with/times"].endswith("(line 4)")
    levels = [f"{name}: &{name} [*{before}, *{before}]" for before, name in zip("abcdefghijklmnop", "bcdefghijklmnopq")]  # noqa: B905
    status, errors = await post(door, "\n".join(["a: &a [x, x]", *levels]), inputs={})
    assert status == 422
    assert "more than" in errors["/payload/workflow"]


async def test_a_batch_keeps_the_sound_ones(door: Door) -> None:
    bad = {"steps": [{"id": "a", "uses": "nothing"}]}
    tasks = [
        {"type": "aurea_action", "payload": {"workflow": each, "inputs": {}}}
        for each in (bad, "steps: [{id: a, uses: greet}]")
    ]
    answer = await door.http.post("/tasks/batch", json={"tasks": tasks})
    assert [item["status_code"] for item in answer.json()["items"]] == [422, 201]
