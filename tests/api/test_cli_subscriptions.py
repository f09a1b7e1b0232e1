"""`aurea subscriptions` and `aurea submit --callback`: what they send and what they print."""

from datetime import datetime, timedelta
from typing import Any

import orjson
from pytest_httpserver import HTTPServer

from orchestrator.clock import SystemClock
from tests.api.command_line import TASK_ID, aurea, on_terminal, page, task

PLACE = f"/subscriptions/{TASK_ID}"


def subscription(**changes: Any) -> dict[str, Any]:
    return {
        "id": TASK_ID, "url": "https://example.com/hook", "types": ["resize"], "states": None, "description": "",
        "enabled": True, "disabled_at": None, "disabled_reason": None, "failures": 0, "rotated_at": None,
        "created_at": "2026-11-20T10:00:00Z", "links": {"self": PLACE, "deliveries": f"{PLACE}/deliveries"},
    } | changes  # fmt: skip


def sent(server: HTTPServer) -> Any:
    return orjson.loads(server.log[-1][0].get_data())


def test_submit_sends_a_callback_url(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    aurea(httpserver, "submit", "resize", "--callback", "https://example.com/hook")
    assert sent(httpserver) == {"type": "resize", "callback_url": "https://example.com/hook"}


def test_create_shows_the_secret(httpserver: HTTPServer) -> None:
    made = subscription(secret="whsec_abc")
    httpserver.expect_request("/subscriptions", method="POST").respond_with_json(made, status=201)
    result = aurea(httpserver, "subscriptions", "create", "https://example.com/hook", "--type", "resize")
    assert sent(httpserver) == {
        "url": "https://example.com/hook", "types": ["resize"], "states": None, "description": "",
    }  # fmt: skip
    assert "secret\twhsec_abc\n" in result.stdout
    assert "not shown again" in result.stderr


def test_without_a_verb_they_are_listed(httpserver: HTTPServer) -> None:
    off = subscription(enabled=False, types=None, states=["failed", "expired"])
    httpserver.expect_request("/subscriptions", method="GET").respond_with_json(page(subscription(), off))
    lines = aurea(httpserver, "subscriptions").stdout.splitlines()
    assert [line.split("\t")[:5] for line in lines] == [
        [TASK_ID, "enabled", "https://example.com/hook", "resize", ""],
        [TASK_ID, "disabled", "https://example.com/hook", "", "failed, expired"],
    ]


def test_one_is_shown_enabled_rotated_and_deleted(httpserver: HTTPServer) -> None:
    for method, act, status in (("GET", "", 200), ("POST", "/enable", 200), ("POST", "/rotate", 200)):
        httpserver.expect_request(PLACE + act, method=method).respond_with_json(subscription(), status=status)
    httpserver.expect_request(PLACE, method="DELETE").respond_with_data("", status=204)
    for verb in ("show", "enable", "rotate", "delete"):
        result = aurea(httpserver, "subscriptions", verb, TASK_ID)
        assert (result.exit_code, TASK_ID in result.stdout) == (0, True), verb
    assert [(entry[0].method, entry[0].path) for entry in httpserver.log] == [
        ("GET", PLACE), ("POST", f"{PLACE}/enable"), ("POST", f"{PLACE}/rotate"), ("DELETE", PLACE),
    ]  # fmt: skip


def test_deliveries_say_what_came_of_each(httpserver: HTTPServer) -> None:
    error = {"type": "Retry", "message": "it answered 500", "retryable": False, "fingerprint": "f"}
    delivery = {
        "id": TASK_ID, "event_id": "evt_1", "event": "task.failed", "task_id": TASK_ID, "status": "failed",
        "attempt": 10, "answer": None, "error": error, "next_attempt_at": None,
        "created_at": "2026-11-20T10:00:00Z", "finished_at": None, "links": {},
    }  # fmt: skip
    query = {"limit": "50", "status": "failed"}
    httpserver.expect_request(f"{PLACE}/deliveries", query_string=query).respond_with_json(page(delivery))
    line = aurea(httpserver, "subscriptions", "deliveries", TASK_ID, "--status", "failed").stdout
    assert line.split("\t")[:3] == [TASK_ID, "failed", "task.failed"]
    assert "it answered 500" in line


def test_replay_takes_ids_or_a_moment_or_a_span_back(httpserver: HTTPServer) -> None:
    answer = {"replayed": 2, "examined": 3}
    httpserver.expect_request(f"{PLACE}/replay", method="POST").respond_with_json(answer)
    result = aurea(httpserver, "subscriptions", "replay", TASK_ID, "d-1", "d-2")
    assert (result.stdout, sent(httpserver)) == (
        "2 deliveries run again, 3 endings looked at: those that it has no delivery of are told within seconds\n",
        {"ids": ["d-1", "d-2"]},
    )
    aurea(httpserver, "subscriptions", "replay", TASK_ID, "--since", "2026-11-20T09:00:00Z")
    assert sent(httpserver) == {"since": "2026-11-20T09:00:00Z"}
    aurea(httpserver, "subscriptions", "replay", TASK_ID, "--since", "2d")
    back = SystemClock().now() - datetime.fromisoformat(sent(httpserver)["since"])
    assert timedelta(days=2) <= back < timedelta(days=2, minutes=5)
    for arguments in ([], ["d-1", "--since", "2d"]):
        assert aurea(httpserver, "subscriptions", "replay", TASK_ID, *arguments).exit_code == 2


def test_test_and_secret_print_what_can_be_used(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"{PLACE}/test", method="POST").respond_with_json({"id": "d-9"}, status=202)
    httpserver.expect_request("/callbacks/secret", method="POST").respond_with_json({"secret": "whsec_abc"})
    assert aurea(httpserver, "subscriptions", "test", TASK_ID).stdout == "d-9\n"
    shown = on_terminal(httpserver, ["subscriptions", "test", TASK_ID]).text
    assert f"aurea subscriptions deliveries {TASK_ID}" in " ".join(shown.split())
    assert aurea(httpserver, "subscriptions", "secret").stdout == "whsec_abc\n"
    assert aurea(httpserver, "subscriptions", "secret", "--json").stdout == '{"secret":"whsec_abc"}\n'
