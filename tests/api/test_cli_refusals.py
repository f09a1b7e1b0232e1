"""What the command line says when it cannot do what was asked: the cause, and the fix."""

import pytest
from pytest_httpserver import HTTPServer

from tests.api.command_line import TASK_ID, aurea

PROBLEM = "application/problem+json"


def test_an_unreachable_api_names_the_url_and_how_to_start_it():
    result = aurea("http://127.0.0.1:9", "workers")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 cannot be reached" in result.stderr
    assert "aurea up" in result.stderr
    assert "AUREA_URL" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://["])
def test_a_url_that_is_none_names_the_variable(url: str):
    result = aurea(url, "workers")
    assert result.exit_code == 1
    assert "AUREA_URL" in result.stderr


def test_a_missing_token_says_where_it_was_looked_for(httpserver: HTTPServer):
    httpserver.expect_request("/workers").respond_with_json({"detail": "no token"}, status=401, content_type=PROBLEM)
    result = aurea(httpserver, "workers", token=None)
    assert result.exit_code == 1
    assert "AUREA_TOKEN" in result.stderr
    assert "/nonexistent/token" in result.stderr


def test_a_refused_token_says_which_one_it_was(httpserver: HTTPServer):
    httpserver.expect_request("/workers").respond_with_json(
        {"detail": "this token is not good here"}, status=401, content_type=PROBLEM
    )
    result = aurea(httpserver, "workers")
    assert result.exit_code == 1
    assert "refused the token from AUREA_TOKEN: this token is not good here" in result.stderr


def test_the_token_of_aurea_up_is_found_under_its_home(httpserver: HTTPServer, tmp_path):
    (tmp_path / "token").write_text("written-by-up\n")
    httpserver.expect_request("/workers", headers={"Authorization": "Bearer written-by-up"}).respond_with_json(
        {"items": [], "next_cursor": None}
    )
    assert aurea(httpserver, "workers", token=None, home=str(tmp_path)).exit_code == 0


def test_a_problem_is_told_with_every_field_and_when_to_come_back(httpserver: HTTPServer):
    httpserver.expect_request("/tasks", method="POST").respond_with_json(
        {
            "status": 422,
            "title": "Invalid input",
            "detail": "the payload does not fit",
            "errors": [
                {"pointer": "/payload/url", "detail": "Field required"},
                {"pointer": "/payload/width", "detail": "Input should be greater than 0"},
            ],
        },
        status=422,
        content_type=PROBLEM,
        headers={"Retry-After": "5"},
    )
    result = aurea(httpserver, "submit", "resize", "--payload", "{}")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the payload does not fit\n"
        "  /payload/url: Field required\n"
        "  /payload/width: Input should be greater than 0\n"
        "  try again in 5 s\n"
    )
    assert result.stdout == ""


def test_a_fault_that_the_sentence_names_is_not_told_twice(httpserver: HTTPServer):
    fault = {"pointer": "/limit", "detail": "must be at most 200"}
    problem = {"status": 422, "detail": "limit must be at most 200", "errors": [fault]}
    httpserver.expect_request("/tasks").respond_with_json(problem, status=422, content_type=PROBLEM)
    assert aurea(httpserver, "tasks").stderr == "error: limit must be at most 200\n"


def test_an_answer_that_is_no_problem_document_asks_to_check_the_url(httpserver: HTTPServer):
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_data("<h1>Bad gateway</h1>", status=502)
    result = aurea(httpserver, "tasks", "show", TASK_ID)
    assert result.exit_code == 1
    assert "502" in result.stderr
    assert "AUREA_URL" in result.stderr


def test_an_answer_of_another_program_is_not_taken_for_ours(httpserver: HTTPServer):
    httpserver.expect_request("/workers").respond_with_data("<h1>It works!</h1>")
    result = aurea(httpserver, "workers")
    assert result.exit_code == 1
    assert "AUREA_URL" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--payload", '{"a":'), "--payload is not JSON"),
        (("--payload", "@/nonexistent"), "cannot be read"),
        (("--payload", "NaN"), "is not JSON"),
        (("--delay", "soon"), "write 10s"),
        (("--delay", "-5"), "write 10s"),
        (("--tag", "novalue"), "KEY=VALUE"),
        (("--priority", "10"), "--priority"),
        (("--wait", "--follow"), "--follow waits as well"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_sent(httpserver: HTTPServer, args, said):
    result = aurea(httpserver, "submit", "resize", *args)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert httpserver.log == []
