"""What a handler author writes: `@task`, payloads, and the sentences for wrong use."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.retry import RetryPolicy
from orchestrator.sdk import Config, Context, Handler, SyncContext, Terminal, task


class Size(BaseModel):
    width: int = 640


class Resize(BaseModel):
    url: str
    sizes: list[Size] = []
    extra: dict[str, int] = {}


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    id: UUID
    at: datetime


@task("resize", max_retries=3, timeout_seconds=60, retry_base_seconds=1, queue="images", priority=2)
async def resize(payload: Resize, ctx: Context) -> dict:
    """One line that the handler list shows.

    And more that it does not.
    """
    return {"url": payload.url}


def test_a_handler_carries_what_it_was_given():
    assert isinstance(resize, Handler)
    assert (resize.name, resize.kind, resize.payload_model) == ("resize", "async", Resize)
    assert resize.description == "One line that the handler list shows."
    assert resize.policy == RetryPolicy(max_retries=3, base_seconds=1.0, cap_seconds=3600.0)
    assert (resize.max_retries, resize.timeout_seconds, resize.queue, resize.priority) == (3, 60, "images", 2)
    assert set(resize.schema()["properties"]) == {"url", "sizes", "extra"}


def test_what_was_not_given_is_left_to_the_system():
    @task("plain")
    def plain(payload: dict) -> None:
        pass

    assert (plain.kind, plain.max_retries, plain.timeout_seconds, plain.queue) == ("thread", None, None, None)
    assert (plain.policy, plain.description, plain.takes_context) == (RetryPolicy(), "", False)

    @task("apart", isolation="process", memory_mb=100)
    def apart(payload: dict, ctx: SyncContext) -> None:
        pass

    assert (apart.kind, apart.memory_mb, apart.takes_context) == ("process", 100, True)


async def test_a_handler_is_called_like_its_function():
    assert await resize(Resize(url="a"), None) == {"url": "a"}


def test_a_payload_that_fits_becomes_the_model():
    assert resize.validate({"url": "a", "sizes": [{}]}) == Resize(url="a", sizes=[Size(width=640)])
    assert resize.decode(b'{"url": "a"}') == Resize(url="a")


def test_each_field_that_does_not_fit_is_named_by_a_pointer():
    with pytest.raises(InvalidInput) as refused:
        resize.validate({"sizes": [{}, {"width": "wide"}], "extra": {"a/b~c": None}})
    assert [issue.pointer for issue in refused.value.issues] == [
        "/payload/url", "/payload/sizes/1/width", "/payload/extra/a~1b~0c",
    ]  # fmt: skip
    assert refused.value.issues[0] == Issue("/payload/url", "Field required")
    assert "'resize'" in str(refused.value)


@pytest.mark.parametrize("payload", [None, 5, [], "text"])
def test_a_payload_of_another_shape_is_refused(payload: Any):
    with pytest.raises(InvalidInput) as refused:
        resize.validate(payload)
    assert refused.value.issues[0].pointer == "/payload"


def test_a_payload_is_judged_as_json_also_by_strict_models():
    @task("exact")
    async def exact(payload: Exact) -> None:
        pass

    sent = {"id": "01997c0e-0000-7000-8000-000000000000", "at": "2026-01-01T00:00:00Z"}
    assert exact.validate(sent).id == UUID(sent["id"])


def test_what_is_not_json_is_no_payload():
    with pytest.raises(InvalidInput, match="JSON"):
        resize.validate({"url": object()})


def test_many_bad_fields_give_a_bounded_answer():
    with pytest.raises(InvalidInput) as refused:
        resize.validate({"url": "a", "extra": {str(number): None for number in range(500)}})
    assert len(refused.value.issues) == 20


def no_parameter() -> None: ...
def no_type(payload) -> None: ...
def starred(*payload: dict) -> None: ...
def three(payload: dict, ctx: SyncContext, more: int) -> None: ...
def undefined(payload: "Nowhere") -> None: ...  # noqa: F821
def unknowable(payload: Callable[[], object]) -> None: ...
def generator(payload: dict) -> Any:
    yield 1


async def async_with_plain_context(payload: dict, ctx: SyncContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_parameter, "needs a type"),
        (no_type, "needs a type"),
        (starred, "needs a type"),
        (three, "nothing fills 'more'"),
        (undefined, "'Nowhere' is not defined"),
        (unknowable, "pydantic cannot"),
        (generator, "cannot yield"),
        (async_with_plain_context, "its second parameter is a Context"),
        (Size, "a handler is a function"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused_at_import(function: Any, words: str):
    with pytest.raises(TypeError, match=words) as refused:
        task("wrong")(function)
    assert "@task('wrong')" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_third_parameter_with_a_default_is_the_authors_own():
    @task("own")
    def own(payload: dict, ctx: SyncContext, more: int = 1, **rest: Any) -> None:
        pass

    assert own.takes_context


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""}, {"name": "two words"}, {"name": "a|b"}, {"name": "a\n"}, {"name": "x" * 101}, {"name": 5},
        {"max_retries": -1}, {"max_retries": 1.5}, {"max_retries": True}, {"max_retries": 1001},
        {"timeout_seconds": 0}, {"timeout_seconds": float("nan")}, {"timeout_seconds": "60"},
        {"retry_base_seconds": -1}, {"retry_cap_seconds": 0}, {"isolation": "thread"}, {"memory_mb": 64},
        {"isolation": "process", "memory_mb": 0}, {"queue": "a b"}, {"priority": 10}, {"priority": -1},
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_refused_at_import(options: dict[str, Any]):
    with pytest.raises(ValueError, match="@task"):
        task(**{"name": "wrong", **options})


def test_a_forgotten_name_is_explained():
    with pytest.raises(TypeError, match=r'write @task\("name"\)'):

        @task
        async def nameless(payload: dict) -> None:
            pass


def test_postponed_annotations_are_understood():
    names: dict[str, Any] = {}
    source = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel
from orchestrator.sdk import task
if TYPE_CHECKING:
    from orchestrator.sdk import Context
class P(BaseModel):
    n: int
@task("postponed")
async def postponed(payload: P, ctx: Context) -> None: ...
"""
    exec(compile(source, "postponed.py", "exec"), names)
    assert names["postponed"].validate({"n": 1}).n == 1


def test_configuration_names_what_is_missing():
    config = Config({"KEY": "secret", "EMPTY": ""})
    assert (config.get("KEY"), config.get("EMPTY"), config.get("NONE")) == ("secret", None, None)
    assert config.require("KEY") == "secret"
    with pytest.raises(Terminal, match="set NONE in the environment of the worker"):
        config.require("NONE")
    assert "secret" not in repr(config)
