"""Every refusal is a problem document with a row of its own."""

import orjson
import pytest

from app.problems import MEDIA_TYPE, ROWS, http_problem, problem_of
from orchestrator.domain import errors
from orchestrator.domain.errors import AureaError, Issue

EXAMPLES: list[AureaError] = [
    errors.InvalidInput("wrong", [Issue("/a", "fix it")]),
    errors.NotJson("the body is empty"),
    errors.InvalidId("x"),
    errors.InvalidCursor(),
    errors.UnknownType("x", ["echo"]),
    errors.KeyConflict("k", "t"),
    errors.TooLarge("the body", 10),
    errors.NotFound("no task"),
    errors.Conflict("it runs"),
    errors.QueueFull("default", 1),
    errors.QuotaExceeded("queued", 1, "greet", 5),
    errors.RateLimited("address", 600, 3),
    errors.BudgetExceeded("task", limit_usd=1, spent_usd=0.5, reserved_usd=0.25, asked_usd=0.3, resets_at=None),
    errors.Unauthorized("send a token"),
    errors.SignatureRefused("no match"),
    errors.NotConfigured("A_SECRET", "to something"),
    errors.RedisEvicts("allkeys-lru"),
    errors.Unavailable("postgres"),
]


def tree(kind: type[AureaError]) -> list[type[AureaError]]:
    return [kind, *(inner for child in kind.__subclasses__() for inner in tree(child))]


@pytest.mark.parametrize("kind", tree(AureaError), ids=lambda kind: kind.__name__)
def test_every_error_class_has_a_row(kind: type[AureaError]) -> None:
    assert kind in ROWS


def test_no_two_error_classes_share_a_code() -> None:
    codes = [kind.code for kind in tree(AureaError)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_refusal_says_what_is_wrong_in_rfc_9457(error: AureaError) -> None:
    response = problem_of(error).response("a" * 32)
    document = orjson.loads(response.body)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert document["status"] == response.status_code == ROWS[type(error)].status
    assert document["type"] == f"urn:aurea:problem:{error.code}"
    assert document["detail"].startswith(str(error))
    assert document["trace_id"] == "a" * 32


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (errors.UnknownType("x", ["echo", "sleep"]), "known_types", ["echo", "sleep"]),
        (errors.KeyConflict("k", "some-id"), "task_id", "some-id"),
        (errors.TooLarge("the body", 10), "limit_bytes", 10),
        (errors.NotConfigured("A_SECRET", "to something"), "variable", "A_SECRET"),
        (errors.Unavailable("redis"), "dependency", "redis"),
        (errors.Unavailable("redis", 3), "retry_after_seconds", 3),
        (errors.Unavailable("postgres and redis"), "dependency", "postgres and redis"),
        (errors.QueueFull("default", 1, 7), "retry_after_seconds", 7),
        (errors.QuotaExceeded("queued", 4, "greet", 5), "most", 4),
        (errors.RateLimited("address", 600, 3), "retry_after_seconds", 3),
        (errors.RateLimited("address", 600, 3), "most", 600),
        (errors.RateLimited("address", 600, 3), "whose", "address"),
        (errors.InvalidInput("w", [Issue("/a", "f")]), "errors", [{"pointer": "/a", "detail": "f"}]),
    ],
)
def test_a_program_finds_what_it_needs_beside_the_sentence(error: AureaError, name: str, value: object) -> None:
    assert problem_of(error).document[name] == value


@pytest.mark.parametrize("error", [errors.QueueFull("default", 1), errors.Unavailable("postgres")])
def test_a_refusal_that_time_heals_says_when_to_try_again(error: AureaError) -> None:
    assert int(problem_of(error).headers["Retry-After"]) > 0


def test_who_is_refused_for_an_outage_learns_which_and_what_to_do() -> None:
    problem = problem_of(errors.Unavailable("postgres and redis", 3))
    assert problem.status == 503
    assert problem.document["detail"] == (
        "postgres and redis cannot be used now: try again in 3 s. Whether it acted is not known; "
        "with an Idempotency-Key nothing is done twice"
    )


def test_what_is_our_fault_tells_nothing_of_the_inside() -> None:
    problem = problem_of(errors.HandlerBroken("/srv/secret.py: boom"))
    assert problem.status == 500
    assert "secret" not in str(problem.document)


def test_the_framework_s_own_refusals_have_the_same_shape() -> None:
    problem = http_problem(405, "use GET", {"Allow": "GET"})
    assert problem.document["code"] == "method_not_allowed"
    assert problem.document["type"] == "urn:aurea:problem:method_not_allowed"
    assert problem.headers == {"Allow": "GET"}


@pytest.mark.parametrize("limit", ["tasks_per_day", "queued"])
def test_a_limit_of_none_at_all_promises_no_place_later(limit: str) -> None:
    assert str(errors.QuotaExceeded(limit, 0, "greet", 5)).endswith(f"may create none: its limit {limit} is 0")
    assert "until" not in str(errors.QuotaExceeded(limit, 0, None, 5))
