"""A workflow against the handlers there are, and a handler's own check of what is submitted."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, model_validator

from handlers.aurea_action import aurea_action
from orchestrator.domain.errors import InvalidInput
from orchestrator.sdk import Handler, Issue, task
from orchestrator.sdk.workflow import check_payload, read


class Http(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["http"]
    url: str
    tries: int = 1


class File(BaseModel):
    kind: Literal["file"]
    path: str


class Probe(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    host: Annotated[str, Field(min_length=3)]
    port: Annotated[int, Field(ge=1)] = 80
    tags: dict[str, list[int]] = {}
    source: Annotated[Http | File, Field(discriminator="kind")] | None = None
    either: int | Http = 0
    body: Any = Field(None, alias="json")

    @model_validator(mode="after")
    def _sensible(self) -> "Probe":
        if self.host == "nowhere":
            raise ValueError("nowhere is no host")
        return self


class Lax(BaseModel):
    text: str = ""
    other: str = Field("", validation_alias=AliasChoices("second", "third"))


class Deep(BaseModel):
    text: str = Field("", validation_alias=AliasPath("a", "b"))


@task("probe")
async def probe(payload: Probe) -> None: ...


@task("lax")
async def lax(payload: Lax) -> None: ...


@task("deep")
async def deep(payload: Deep) -> None: ...


@task("numbers")
async def numbers(payload: list[int]) -> None: ...


TYPES: dict[str, Handler] = {handler.name: handler for handler in (probe, lax, deep, numbers, aurea_action)}
INPUTS = {"inputs": {"x": {"default": "abc"}}}


def pointers(*steps: dict[str, Any], inputs: Any = None, **rest: Any) -> list[str]:
    written = [{"id": f"s{place}"} | step for place, step in enumerate(steps)]
    payload = {"workflow": INPUTS | {"steps": written} | rest, "inputs": inputs or {}}
    return [issue.pointer for issue in check_payload(payload, TYPES)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"host": "abc"}, []),
        ({}, ["/host"]),
        ({"host": "ab", "port": 0}, ["/host", "/port"]),
        ({"host": "{{ inputs.x }}", "port": 0}, ["/port"]),
        ({"port": "{{ inputs.x }}"}, ["/host"]),
        ({"host": "nowhere"}, [""]),
        ({"host": "nowhere", "port": "{{ inputs.x }}"}, []),  # the model as a whole was not reached
        ({"host": "abc", "prot": "{{ inputs.x }}"}, ["/prot"]),
        ({"host": "abc", "json": {"a": 1}}, []),
        ({"host": "abc", "tags": {"a": ["{{ inputs.x }}", "b"]}}, ["/tags/a/1"]),
        ({"host": "abc", "tags": ["{{ inputs.x }}"]}, ["/tags"]),
        ({"host": "abc", "tags": {"a/b": 1}}, ["/tags/a~1b"]),
        ({"host": "abc", "source": {"kind": "http", "url": "u", "tries": "x"}}, ["/source/tries"]),
        ({"host": "abc", "source": {"kind": "http"}}, ["/source/url"]),
        ({"host": "abc", "source": {"kind": "ftp"}}, ["/source"]),
        ({"host": "abc", "source": {"kind": "http", "url": 3, "more": 1}}, ["/source/url", "/source/more"]),
        ({"host": "abc", "source": {"kind": "http", "url": 3, "tries": "{{ inputs.x }}"}}, []),
        ({"host": "abc", "source": {"kind": "http", "url": "{{ inputs.x }}", "tries": "{{ inputs.x }}"}}, []),
        ({"host": "abc", "source": {"kind": "{{ inputs.x }}", "url": "u"}}, []),
        ({"host": "abc", "either": {"kind": "http", "url": "u", "tries": "{{ inputs.x }}"}}, []),
        ({"host": "abc", "either": "five"}, ["/either"]),
        ({"host": "abc", "either": "{{ inputs.x }}"}, []),
        ("{{ inputs.x }}", []),
        ("text", [""]),
    ],
)
def test_what_is_known_of_a_payload_is_checked(written: Any, expected: list[str]) -> None:
    assert pointers({"uses": "probe", "with": written}) == [f"/workflow/steps/0/with{place}" for place in expected]


def test_fields_that_a_model_would_pass_over_are_named() -> None:
    assert pointers({"uses": "lax", "with": {"text": "a", "second": "b", "txt": "c"}}) == ["/workflow/steps/0/with/txt"]
    assert pointers({"uses": "deep", "with": {"a": {"b": "c"}}}, {"uses": "numbers", "with": [1, 2]}) == []
    assert pointers({"uses": "numbers", "with": ["{{ inputs.x }}", "a"]}) == ["/workflow/steps/0/with/1"]


def test_an_unknown_type_and_wrong_inputs_are_named() -> None:
    steps = {"uses": "proeb"}, {"uses": "lax", "retry": "a"}
    assert pointers(*steps, inputs={"y": 1}) == ["/workflow/steps/1/retry", "/workflow/steps/0/uses", "/inputs/y"]
    (issue,) = check_payload({"workflow": {"steps": [{"id": "a", "uses": "proeb"}]}}, TYPES)
    assert issue.detail == "no handler is called 'proeb'; known are: aurea_action, deep, lax, numbers, probe"


def test_a_text_is_told_by_its_lines() -> None:
    text = "steps:\n  - id: a\n    uses: probe\n    with:\n      host: a\n"
    (issue,) = check_payload({"workflow": text}, TYPES)
    assert issue.pointer == "/workflow/steps/0/with/host"
    assert issue.detail.endswith("(line 5)")
    (issue,) = check_payload({"workflow": "steps: [\n"}, TYPES)
    assert (issue.pointer, issue.detail[:6]) == ("/workflow", "line 2")


@pytest.mark.parametrize("written", [None, 3, {"steps": [{}] * 70_000}, ["x"], "- a"])
def test_what_is_no_workflow_is_refused(written: Any) -> None:
    (issue, *_) = check_payload({"workflow": written}, TYPES)
    assert issue.pointer.startswith("/workflow")


def nested(inner: Any, **inputs: Any) -> dict[str, Any]:
    return {"uses": "aurea_action", "with": {"workflow": inner, "inputs": inputs}}


def test_a_nested_workflow_is_checked_too_and_its_templates_are_its_own() -> None:
    inner = {
        "inputs": {"a": {"required": True, "type": "integer"}, "b": {"enum": [[1]]}},
        "steps": [{"id": "t", "uses": "lax", "with": {"text": "{{ inputs.a }}"}}],
    }
    assert pointers(nested(inner, a=1)) == []
    assert pointers(nested(inner, a="{{ inputs.x }}", b=["{{ inputs.x }}"])) == []
    assert pointers(nested(inner, a="one")) == ["/workflow/steps/0/with/inputs/a"]
    assert pointers(nested(inner)) == ["/workflow/steps/0/with/inputs/a"]
    assert pointers({"uses": "aurea_action", "with": {"workflow": inner, "inputs": "{{ inputs.x }}"}}) == []
    broken = {"steps": [{"id": "t", "uses": "lax", "with": {"text": "{{ inputs.q }}"}}]}
    assert pointers(nested(broken)) == ["/workflow/steps/0/with/workflow/steps/0/with/text"]


def test_a_nested_workflow_is_written_out_so_that_none_can_call_itself() -> None:
    assert pointers({"uses": "aurea_action", "with": {"workflow": "{{ inputs.x }}"}}) != []
    inner: dict[str, Any] = {"steps": [{"id": "a", "uses": "lax"}]}
    for _ in range(3):
        inner = {"steps": [{"id": "a", **nested(inner)}]}
    place = "/with/workflow/steps/0"
    assert pointers(*inner["steps"]) == [f"/workflow/steps/0{place}{place}/with/workflow"]


def test_reading_the_same_again_costs_nothing() -> None:
    written = {"steps": [{"id": "a", "uses": "lax"}]}
    assert read(written) is read({**written})


class Shift(BaseModel):
    first: int
    last: int


def _in_order(payload: Shift, types: Mapping[str, Handler]) -> list[Issue]:
    return [] if payload.first <= payload.last and "shift" in types else [Issue("/last", "comes before the first")]


@task("shift", check=_in_order)
async def shift(payload: Shift) -> None: ...


def test_a_handler_s_own_check_refuses_as_a_model_does() -> None:
    shift.examine(shift.validate({"first": 1, "last": 2}), {"shift": shift})
    with pytest.raises(InvalidInput) as refused:
        shift.examine(shift.validate({"first": 2, "last": 1}), {"shift": shift})
    assert refused.value.issues == (Issue("/payload/last", "comes before the first"),)
    assert str(refused.value) == "the payload does not fit 'shift': /payload/last: comes before the first"
    numbers.examine([1], {})


def test_a_check_is_a_function() -> None:
    with pytest.raises(ValueError, match="check"):
        task("x", check="soon")  # type: ignore[arg-type]
