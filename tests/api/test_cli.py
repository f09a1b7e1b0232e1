"""The verbs against an API that answers in the contract's shapes: what they send, what they print, how they exit."""

import orjson
import pytest
from pytest_httpserver import HTTPServer

from tests.api.command_line import TASK_ID, TOKEN, aurea, on_terminal, page, task


def _sent(server: HTTPServer, position: int = -1) -> dict:
    return orjson.loads(server.log[position][0].get_data())


def test_submit_sends_what_was_typed_and_prints_only_the_id(httpserver: HTTPServer):
    httpserver.expect_request("/tasks", method="POST", headers={"Authorization": f"Bearer {TOKEN}"}).respond_with_json(
        task(), status=201
    )
    result = aurea(
        httpserver, "submit", "resize", "--payload", '{"url": "http://x"}', "--priority", "2", "--key", "k-1",
        "--delay", "1m30s", "--queue", "images", "--tag", "team=docs", "--tag", "n=1", "--max-retries", "0",
        "--timeout", "5m",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == f"{TASK_ID}\n"
    assert _sent(httpserver) == {
        "type": "resize", "payload": {"url": "http://x"}, "priority": 2, "idempotency_key": "k-1",
        "delay_seconds": 90.0, "queue": "images", "tags": {"team": "docs", "n": "1"}, "max_retries": 0,
        "timeout_seconds": 300.0,
    }  # fmt: skip


def test_the_admin_acts_for_the_tenant_in_the_environment(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch):
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    aurea(httpserver, "submit", "resize")
    monkeypatch.setenv("AUREA_TENANT", "acme")
    aurea(httpserver, "submit", "resize")
    assert [entry[0].headers.get("Aurea-Tenant") for entry in httpserver.log] == [None, "acme"]


def test_submit_leaves_out_what_was_not_typed(httpserver: HTTPServer):
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    aurea(httpserver, "submit", "resize")
    assert _sent(httpserver) == {"type": "resize"}


@pytest.mark.parametrize(
    ("typed", "sent"), [("1h30m", 5400), ("1500ms", 2), ("until_final", "until_final"), ("forever", "forever")]
)
def test_submit_says_how_long_a_key_is_held(httpserver: HTTPServer, typed: str, sent: str | int) -> None:
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    assert aurea(httpserver, "submit", "resize", "--key", "k", "--key-lifetime", typed).exit_code == 0
    assert _sent(httpserver) == {"type": "resize", "idempotency_key": "k", "key_lifetime": sent}
    assert aurea(httpserver, "submit", "resize", "--key-lifetime", typed).exit_code == 2


def test_a_payload_is_sent_byte_for_byte_from_a_file_or_from_standard_input(httpserver: HTTPServer, tmp_path):
    text = b'{"big": 123456789012345678901234567890, "twice": 1.10}'
    file = tmp_path / "payload.json"
    file.write_bytes(text)
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    assert aurea(httpserver, "submit", "resize", "--payload", f"@{file}").exit_code == 0
    assert aurea(httpserver, "submit", "resize", "--payload", "-", stdin=text).exit_code == 0
    assert [text in request.get_data() for request, _ in httpserver.log] == [True, True]


def test_a_replayed_key_is_said_on_standard_error(httpserver: HTTPServer):
    httpserver.expect_request("/tasks", method="POST").respond_with_json(
        task(), headers={"Idempotent-Replayed": "true"}
    )
    result = aurea(httpserver, "submit", "resize", "--key", "k-1")
    assert result.stdout == f"{TASK_ID}\n"
    assert "used before" in result.stderr


def test_json_is_what_the_api_sent(httpserver: HTTPServer):
    listed = page(task(), task(status="running"), next_cursor="c-1")
    httpserver.expect_request("/tasks", method="GET").respond_with_json(listed)
    assert orjson.loads(aurea(httpserver, "tasks", "--json").stdout) == listed
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    assert orjson.loads(aurea(httpserver, "submit", "resize", "--json").stdout) == task()


def test_a_list_in_a_pipe_is_one_tab_separated_line_a_task_without_heading_or_colour(httpserver: HTTPServer):
    httpserver.expect_request("/tasks").respond_with_json(
        page(task(), task(type="two\tlines\nin \x1b[31mone", status="failed"), next_cursor="c-1")
    )
    result = aurea(httpserver, "tasks", "list")
    assert result.stdout == (
        f"{TASK_ID}\tresize\tqueued\tdefault\t5\t0\t2026-11-20T10:00:00Z\n"
        f"{TASK_ID}\ttwo lines in �[31mone\tfailed\tdefault\t5\t0\t2026-11-20T10:00:00Z\n"
    )
    assert "aurea tasks list --cursor c-1" in result.stderr


def test_filters_of_a_list_are_passed_on(httpserver: HTTPServer):
    httpserver.expect_request("/tasks").respond_with_json(page())
    args = ("--status", "failed", "--type", "resize", "--queue", "q", "--tag", "a=b", "--parent", TASK_ID)
    more = ("--created-after", "2026-01-01T00:00:00Z", "--search", "cat", "--limit", "7", "--cursor", "c")
    result = aurea(httpserver, "tasks", *args, *more)
    assert result.exit_code == 0
    assert dict(httpserver.log[0][0].args) == {
        "status": "failed", "type": "resize", "queue": "q", "tag": "a:b", "parent_id": TASK_ID,
        "created_after": "2026-01-01T00:00:00Z", "q": "cat", "limit": "7", "cursor": "c",
    }  # fmt: skip


@pytest.mark.parametrize(("group", "options"), [("tasks", ["--status", "--search"]), ("dead", ["--group"])])
def test_help_of_a_group_shows_the_options_of_its_list(httpserver: HTTPServer, group: str, options: list[str]):
    result = aurea(httpserver, group, "--help")
    assert result.exit_code == 0
    for shown in (*options, "Commands", "--json"):
        assert shown in result.stdout


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_cancel_and_retry_print_the_task_as_it_is_now(httpserver: HTTPServer, verb: str):
    httpserver.expect_request(f"/tasks/{TASK_ID}/{verb}", method="POST").respond_with_json(task(status="cancelled"))
    result = aurea(httpserver, "tasks", verb, TASK_ID)
    assert result.stdout.split("\t")[2] == "cancelled"


def test_logs_are_read_to_the_last_page(httpserver: HTTPServer):
    def event(place: int, text: str) -> dict:
        data = {"text": text, "fields": {"n": place}}
        return {"id": str(place), "event": "log", "at": "2026-11-20T10:00:00Z", "data": data}

    first, second = event(1, "first"), event(2, "second")
    uri = f"/tasks/{TASK_ID}/logs"
    httpserver.expect_request(uri, query_string={"limit": "200"}).respond_with_json(page(first, next_cursor="1"))
    httpserver.expect_request(uri, query_string={"limit": "200", "after": "1"}).respond_with_json(page(second))
    lines = aurea(httpserver, "tasks", "logs", TASK_ID).stdout
    assert lines == "2026-11-20T10:00:00Z\tlog\tinfo first n=1\n2026-11-20T10:00:00Z\tlog\tinfo second n=2\n"
    document = orjson.loads(aurea(httpserver, "tasks", "logs", TASK_ID, "--json").stdout)
    assert document == page(first, second)


def test_why_names_cause_and_detail(httpserver: HTTPServer):
    httpserver.expect_request(f"/tasks/{TASK_ID}/why").respond_with_json(
        {"status": "queued", "cause": "paused", "detail": "the queue 'default' is paused: resume it to go on"}
    )
    assert "cause\tpaused\n" in aurea(httpserver, "tasks", "why", TASK_ID).stdout


def test_replay_wants_exactly_one_way_to_choose(httpserver: HTTPServer):
    for args in ((), (TASK_ID, "--all"), ("--type", "resize", "--all")):
        result = aurea(httpserver, "dead", "replay", *args)
        assert result.exit_code == 2
        assert "say which" in result.stderr
    assert httpserver.log == []


def test_replay_sends_ids_or_filter_and_the_rate(httpserver: HTTPServer):
    httpserver.expect_request("/dead/replay", method="POST").respond_with_json({"replayed": 2})
    assert aurea(httpserver, "dead", "replay", TASK_ID, "--rate", "5").stdout == "2 replayed\n"
    assert _sent(httpserver) == {"ids": [TASK_ID], "rate_per_second": 5.0}
    aurea(httpserver, "dead", "replay", "--type", "resize", "--fingerprint", "f-1")
    assert _sent(httpserver) == {"filter": {"type": "resize", "fingerprint": "f-1"}}
    aurea(httpserver, "dead", "replay", "--all")
    assert _sent(httpserver) == {"filter": {}}


def test_queues_are_listed_paused_and_resumed(httpserver: HTTPServer):
    queue = {"name": "default", "depth": 3, "oldest_age_seconds": 61.5, "running": 1, "paused": True}
    httpserver.expect_request("/queues").respond_with_json(page(queue))
    assert aurea(httpserver, "queues").stdout == "default\t3\t61.5\t1\ttrue\n"
    httpserver.expect_request("/queues/default/pause", method="POST").respond_with_json(queue)
    assert aurea(httpserver, "queues", "pause", "default").exit_code == 0
    httpserver.expect_request("/queues/default/resume", method="POST").respond_with_json(queue)
    assert orjson.loads(aurea(httpserver, "queues", "resume", "default", "--json").stdout) == queue


def test_without_rows_a_pipe_stays_empty_and_standard_error_says_so(httpserver: HTTPServer):
    httpserver.expect_request("/workers").respond_with_json(page())
    result = aurea(httpserver, "workers")
    assert result.stdout == ""
    assert "aurea worker" in result.stderr


def test_a_terminal_gets_headings_colours_and_whole_ids_however_narrow_it_is(httpserver: HTTPServer):
    long = task(status="failed", type="a_type_with_a_name_that_does_not_fit_on_this_screen", attempt=2)
    httpserver.expect_request("/tasks").respond_with_json(page(long))
    screen = on_terminal(httpserver, ["tasks"], env={"COLUMNS": "90"})
    assert screen.exit_code == 0
    assert "CREATED" in screen.text
    assert TASK_ID in screen.text
    assert "\x1b[31mfailed" in screen.text
    assert "…" in screen.text


def test_show_prints_the_attempts_below_the_task(httpserver: HTTPServer):
    run = {
        "attempt": 1,
        "status": "crashed",
        "worker_id": "w-7",
        "started_at": None,
        "finished_at": None,
        "error": None,
    }
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(task(status="retrying", attempt=1))
    httpserver.expect_request(f"/tasks/{TASK_ID}/runs").respond_with_json(page(run))
    screen = on_terminal(httpserver, ["tasks", "show", TASK_ID])
    assert "retrying" in screen.text
    assert screen.text.index("crashed") > screen.text.index('"http://x"')
