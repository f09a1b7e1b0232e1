"""Tables on a terminal: one line a row, and what a next command needs stays whole however long an error is."""

import re
from typing import Any

from pytest_httpserver import HTTPServer

from app.cli.tables import Column, _fitted
from tests.api.command_line import TASK_ID, aurea, on_terminal, page, task

FINGERPRINT = "9f86d081884c7d65"
LONG = "the other side answered 500:\n" + "and went on and on " * 40
FAILURE = {"type": "SystemExit", "message": LONG, "retryable": False, "fingerprint": FINGERPRINT}


def lines_of(server: HTTPServer, *args: str) -> list[str]:
    """What a terminal of 100 columns shows, without colours."""
    screen = on_terminal(server, args, env={"COLUMNS": "100"})
    assert screen.exit_code == 0, screen.text
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.text).splitlines()


def dead(**error: Any) -> dict[str, Any]:
    return task(status="failed", attempt=12, finished_at="2020-11-20T10:00:00Z", error={**FAILURE, **error})


def test_a_long_error_is_the_only_thing_cut(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/dead").respond_with_json(page(dead(), dead(message="3")))
    heading, first, second = lines_of(httpserver, "dead")
    assert heading.split() == ["ID", "TYPE", "FAILED", "TRY", "FINGERPRINT", "ERROR"]
    assert first.startswith(f"{TASK_ID}  resize  ")
    assert f" 12   {FINGERPRINT}  SystemExit: " in first
    assert first.endswith("…")
    assert len(first) == 100
    assert second.endswith("SystemExit: 3")


def test_groups_keep_type_and_fingerprint_whole(httpserver: HTTPServer) -> None:
    name = "a_type_with_quite_a_long_name"
    group = {"count": 3, "type": name, "fingerprint": FINGERPRINT, "message": LONG, "last_at": "2020-11-20T10:00:00Z"}
    httpserver.expect_request("/dead").respond_with_json(page(group))
    _, line = lines_of(httpserver, "dead", "list", "--group")
    assert f"{name}  {FINGERPRINT}" in line
    assert line.endswith("…")
    assert len(line) == 100


def test_a_pipe_gets_the_whole_error_with_its_type_on_one_line(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/dead").respond_with_json(page(dead()))
    (line,) = aurea(httpserver, "dead").stdout.splitlines()
    assert line.split("\t")[4:] == [FINGERPRINT, f"SystemExit: {LONG}".replace("\n", " ")]


def test_attempts_without_an_error_have_no_column_for_one(httpserver: HTTPServer) -> None:
    run = {"attempt": 1, "status": "succeeded", "worker_id": "w-7", "started_at": "2026-11-20T10:00:00.123456Z"}
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(task(status="succeeded", attempt=1))
    httpserver.expect_request(f"/tasks/{TASK_ID}/runs").respond_with_json(
        page({**run, "finished_at": "2026-11-20T10:00:01Z", "error": None})
    )
    *_, heading, attempt = lines_of(httpserver, "tasks", "show", TASK_ID)
    assert heading.split() == ["ATTEMPT", "STATUS", "STARTED", "FINISHED", "WORKER"]
    assert attempt.split()[2:] == ["2026-11-20T10:00:00Z", "2026-11-20T10:00:01Z", "w-7"]


def test_a_task_shows_what_it_cost_if_it_cost_anything(httpserver: HTTPServer) -> None:
    httpserver.expect_oneshot_request(f"/tasks/{TASK_ID}").respond_with_json(task(cost_usd=0.0123))
    assert ["cost", "$0.0123"] in [line.split() for line in lines_of(httpserver, "tasks", "show", TASK_ID)]
    httpserver.expect_oneshot_request(f"/tasks/{TASK_ID}").respond_with_json(task())
    assert "cost" not in [line.split()[0] for line in lines_of(httpserver, "tasks", "show", TASK_ID)]


def test_a_pipe_gets_a_workers_queues_by_name_and_how_many_tasks_it_runs(httpserver: HTTPServer) -> None:
    card = {"id": "w-7", "host": "h", "pid": 1, "version": "1", "concurrency": 8, "started_at": "2026-11-20T10:00:00Z"}
    idle = {**card, "queues": [], "running": []}
    busy = {**card, "queues": ["a", "b"], "running": [TASK_ID]}
    httpserver.expect_request("/workers").respond_with_json(page(idle, busy))
    rows = [line.split("\t")[4:6] for line in aurea(httpserver, "workers").stdout.splitlines()]
    assert rows == [["all", "0"], ["a, b", "1"]]


def test_the_widest_of_the_columns_that_yield_loses_first() -> None:
    assert _fitted([10, 40, 12], [False, True, True], 40) == [10, 18, 12]
    assert _fitted([10, 40, 30], [False, True, True], 40) == [10, 15, 15]
    assert _fitted([90, 40], [False, True], 40) == [90, 8]
    assert _fitted([90, 10], [False, False], 40) == [90, 10]
    assert Column("A", "a.b").read({"a": {"b": 1}}) == 1
