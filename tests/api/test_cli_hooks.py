"""`aurea hooks`: a table, one delivery with its content, and having it processed again."""

from typing import Any

import orjson
from pytest_httpserver import HTTPServer

from tests.api.command_line import TASK_ID, aurea, on_terminal, page, task


def delivery(**changes: Any) -> dict[str, Any]:
    """A delivery as the API shows it."""
    return {
        "id": TASK_ID, "source": "pay", "delivery_id": "evt_1", "event": "charge.paid", "scheme": "stripe", "secret": 0,
        "task_id": TASK_ID, "received_at": "2026-11-20T10:00:00Z", "seen_at": "2026-11-20T10:05:00Z", "times_seen": 3,
        "redelivered": 0, "links": {"self": f"/deliveries/{TASK_ID}", "task": f"/tasks/{TASK_ID}"},
    } | changes  # fmt: skip


def test_deliveries_are_a_table_and_narrowed(httpserver: HTTPServer) -> None:
    query = {"source": "pay", "event": "charge.paid", "limit": "50"}
    httpserver.expect_request("/deliveries", query_string=query).respond_with_json(page(delivery(), next_cursor="more"))
    listed = aurea(httpserver, "hooks", "--source", "pay", "--event", "charge.paid")
    assert listed.stdout.split("\t")[:3] == [TASK_ID, "pay", "charge.paid"]
    assert "aurea hooks list --cursor more" in listed.stderr
    as_json = aurea(httpserver, "hooks", "list", "--source", "pay", "--event", "charge.paid", "--json")
    assert orjson.loads(as_json.stdout) == page(delivery(), next_cursor="more")


def test_none_is_said_to_be_none(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/deliveries").respond_with_json(page())
    assert "no deliveries" in aurea(httpserver, "hooks").stderr


def test_one_is_shown_with_its_content(httpserver: HTTPServer) -> None:
    content = delivery(headers={"x-github-hook-id": "7"}, body={"ref": "main"})
    httpserver.expect_request(f"/deliveries/{TASK_ID}").respond_with_json(content)
    shown = aurea(httpserver, "hooks", "show", TASK_ID).stdout
    assert "main" in shown
    assert "LAST SEEN\t2026-11-20T10:05:00Z" in shown
    assert orjson.loads(aurea(httpserver, "hooks", "show", TASK_ID, "--json").stdout) == content
    assert "x-github-hook-id" in on_terminal(httpserver, ("hooks", "show", TASK_ID)).text


def test_a_redelivery_prints_its_task(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"/deliveries/{TASK_ID}/redeliver", method="POST").respond_with_json(task(), status=201)
    assert aurea(httpserver, "hooks", "redeliver", TASK_ID).stdout == f"{TASK_ID}\n"
    assert orjson.loads(aurea(httpserver, "hooks", "redeliver", TASK_ID, "--json").stdout) == task()
    assert f"aurea tasks logs {TASK_ID} --follow" in on_terminal(httpserver, ["hooks", "redeliver", TASK_ID]).text
