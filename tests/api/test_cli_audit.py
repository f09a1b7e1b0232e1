"""`aurea audit`: what it lists, and what it says of a trail that is whole, altered or cut."""

from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.api.command_line import aurea, page
from tests.unit.test_audit_trail import act, trail

LINES = trail(
    [act(), act(action="queues_pause", targets=["a", "b"], shared=False), act(actor_kind="admin", actor_id="admin")]
)
HEADS = [f"{line['number']}:{line['hash']}" for line in LINES]


def serve(server: HTTPServer, lines: list[dict[str, Any]]) -> None:
    """Answer with pages of two lines, the oldest first."""

    def answer(request: Request) -> Response:
        assert request.args["order"] == "oldest"
        start = int(request.args.get("cursor", 0))
        more = str(start + 2) if start + 2 < len(lines) else None
        return Response(orjson.dumps(page(*lines[start : start + 2], next_cursor=more)), mimetype="application/json")

    server.expect_request("/audit").respond_with_handler(answer)


def test_lines_are_listed_with_who_and_what(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/audit").respond_with_json(page(*LINES[1:], next_cursor="c-1"))
    result = aurea(httpserver, "audit", "--actor", "k1", "--action", "queues_pause", "--target", "a")
    assert [line.split("\t")[2:] for line in result.stdout.splitlines()] == [
        ["key k1", "192.0.2.1", "queues_pause", "201", "a b"], ["admin", "192.0.2.1", "tasks_create", "201", "t1"]
    ]  # fmt: skip
    assert "aurea audit list --cursor c-1" in result.stderr
    assert httpserver.log[0][0].args.to_dict() == {
        "actor": "k1", "action": "queues_pause", "target": "a", "limit": "50"
    }  # fmt: skip


def test_a_whole_trail_is_verified_over_all_its_pages_and_its_head_is_printed(httpserver: HTTPServer) -> None:
    serve(httpserver, LINES)
    result = aurea(httpserver, "audit", "verify", "--head", HEADS[0], "--head", HEADS[2])
    assert (result.exit_code, result.stdout) == (0, f"{HEADS[2]}\n")
    assert "3 lines" in result.stderr
    told = orjson.loads(aurea(httpserver, "audit", "verify", "--json").stdout)
    assert told == {"intact": True, "lines": 3, "head": HEADS[2]}


def test_the_trail_of_another_tenant_is_asked_for_by_name(httpserver: HTTPServer) -> None:
    serve(httpserver, LINES)
    aurea(httpserver, "audit", "verify", "--tenant", "acme")
    assert {request.headers["Aurea-Tenant"] for request, _ in httpserver.log} == {"acme"}
    aurea(httpserver, "audit", "verify")
    assert "Aurea-Tenant" not in httpserver.log[-1][0].headers
    assert aurea(httpserver, "audit", "--tenant", "gl\u00f6bex").exit_code == 2


def test_an_altered_line_ends_it_with_one_and_is_named(httpserver: HTTPServer) -> None:
    serve(httpserver, [LINES[0], {**LINES[1], "targets": ["a"]}, LINES[2]])
    result = aurea(httpserver, "audit", "verify")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "line 2 is not as it was written" in result.stderr
    assert "good up to line 1" in result.stderr
    answer = aurea(httpserver, "audit", "verify", "--json")
    assert (answer.exit_code, orjson.loads(answer.stdout)["intact"]) == (1, False)


def test_an_end_that_is_missing_is_found_by_its_head(httpserver: HTTPServer) -> None:
    serve(httpserver, LINES[:2])
    assert aurea(httpserver, "audit", "verify").exit_code == 0
    result = aurea(httpserver, "audit", "verify", "--head", HEADS[2])
    assert result.exit_code == 1
    assert "line 3 was noted and is missing: the trail ends with line 2" in result.stderr


def test_an_empty_trail_is_whole_and_has_no_head(httpserver: HTTPServer) -> None:
    serve(httpserver, [])
    result = aurea(httpserver, "audit", "verify")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no lines yet\n")
    told = orjson.loads(aurea(httpserver, "audit", "verify", "--json").stdout)
    assert told == {"intact": True, "lines": 0, "head": None}


@pytest.mark.parametrize("head", ["3", "0:" + "0" * 64, "1:abc", "x:" + "0" * 64])
def test_a_head_that_is_none_is_refused_before_anything_is_asked(httpserver: HTTPServer, head: str) -> None:
    result = aurea(httpserver, "audit", "verify", "--head", head)
    assert (result.exit_code, httpserver.log) == (2, [])
    assert "NUMBER:HASH" in result.stderr
