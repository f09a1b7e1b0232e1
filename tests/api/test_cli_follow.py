"""Following a task: every event once, whatever happens to the connection, and an exit code that tells the end."""

import re
import signal
import subprocess
import threading

import orjson
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from app.cli import follow
from tests.api.command_line import TASK_ID, aurea, cut, frame, on_terminal, page, serve_stream, start, stream, task

RUNNING = frame(10, "status", {"status": "running", "attempt": 1})
LOG = frame(11, "log", {"text": "slow", "fields": {"level": "warning", "host": "a b", "ms": 7}})
HALF = frame(12, "progress", {"fraction": 0.5, "text": "fetched"})
TOKENS = frame(13, "token", {"text": "Hello, "}) + frame(14, "token", {"text": "world"})
DONE = frame(20, "status", {"status": "succeeded", "attempt": 1})
RESULT = frame(21, "result", {"size": 3})
END = frame(22, "end", {"status": "succeeded", "error": None})
FAILED = frame(22, "end", {"status": "failed", "error": {"type": "Boom", "message": "it broke"}})
FOLLOW = ("tasks", "logs", TASK_ID, "--follow")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", (0.0, 0.0, 0.0))


def test_events_are_plain_lines_in_a_pipe(httpserver: HTTPServer):
    serve_stream(httpserver, stream(RUNNING, LOG, HALF, TOKENS, DONE, RESULT, END))
    result = aurea(httpserver, *FOLLOW)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "status\trunning, attempt 1",
        "log\twarning slow host=a b ms=7",
        "progress\t50% fetched",
        "token\tHello, world",
        "status\tsucceeded, attempt 1",
        'result\t{"size":3}',
        "end\tsucceeded",
    ]


def test_events_are_json_lines_for_programs(httpserver: HTTPServer):
    serve_stream(httpserver, stream(RUNNING, END))
    lines = [orjson.loads(line) for line in aurea(httpserver, *FOLLOW, "--json").stdout.splitlines()]
    assert lines == [
        {"id": "10", "event": "status", "data": {"status": "running", "attempt": 1}},
        {"id": "22", "event": "end", "data": {"status": "succeeded", "error": None}},
    ]


@pytest.mark.parametrize("breaking", [stream, cut])
def test_a_broken_stream_goes_on_behind_the_last_event_without_a_repeat(httpserver: HTTPServer, breaking):
    asked = serve_stream(httpserver, breaking(RUNNING, LOG), breaking(LOG, HALF), stream(END))
    result = aurea(httpserver, *FOLLOW)
    assert result.exit_code == 0
    assert asked == ["", "11", "12"]
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["status", "log", "progress", "end"]


def test_a_stream_may_start_behind_an_event(httpserver: HTTPServer):
    asked = serve_stream(httpserver, stream(END))
    aurea(httpserver, *FOLLOW, "--after", "11")
    assert asked == ["11"]


def test_where_streams_are_switched_off_the_log_is_looked_up_until_the_end(httpserver: HTTPServer, monkeypatch):
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    serve_stream(httpserver, lambda _: Response(status=404))
    lines = f"/tasks/{TASK_ID}/logs"
    log = {"id": "11", "event": "log", "at": "2026-11-20T10:00:00Z", "data": {"text": "slow", "fields": {}}}
    httpserver.expect_oneshot_request(f"/tasks/{TASK_ID}").respond_with_json(task(status="running"))
    httpserver.expect_request(lines, query_string="limit=200").respond_with_json(page(log))
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(task(status="succeeded"))
    httpserver.expect_request(lines, query_string="after=11&limit=200").respond_with_json(page())
    result = aurea(httpserver, *FOLLOW)
    assert (result.exit_code, result.stdout.splitlines()) == (0, ["log\tinfo slow", "end\tsucceeded"])


def test_a_stream_with_nothing_behind_the_event_ends_with_the_tasks_state(httpserver: HTTPServer):
    serve_stream(httpserver, lambda _: Response(status=204))
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(task(status="failed"))
    result = aurea(httpserver, *FOLLOW, "--after", "22")
    assert result.exit_code == 3
    assert result.stdout == "end\tfailed\n"


def test_an_api_that_restarts_is_waited_for(httpserver: HTTPServer):
    asked = serve_stream(
        httpserver, stream(RUNNING), lambda _: Response("", 503), lambda _: Response("", 502), stream(END)
    )
    assert aurea(httpserver, *FOLLOW).exit_code == 0
    assert asked == ["", "10", "10", "10"]


def test_patience_ends_with_how_to_go_on(httpserver: HTTPServer):
    serve_stream(httpserver, stream(RUNNING), *[stream()] * 4)
    result = aurea(httpserver, *FOLLOW)
    assert result.exit_code == 1
    assert f"aurea tasks logs {TASK_ID} --follow --after 10" in result.stderr


def test_a_refusal_is_not_tried_again(httpserver: HTTPServer):
    gone = Response('{"detail": "no task"}', 404, mimetype="application/problem+json")
    asked = serve_stream(httpserver, lambda _: gone)
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_response(gone)
    result = aurea(httpserver, *FOLLOW)
    assert result.exit_code == 1
    assert result.stderr == "error: no task\n"
    assert len(asked) == 1


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_a_task_that_did_not_succeed_exits_with_3(httpserver: HTTPServer, status: str, how: str):
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(task(status=status))
    serve_stream(httpserver, stream(frame(22, "end", {"status": status, "error": None})))
    result = aurea(httpserver, "submit", "resize", how)
    assert result.exit_code == 3
    assert status in result.stdout
    assert TASK_ID in result.stderr


def test_wait_prints_the_task_as_it_ended(httpserver: HTTPServer):
    ended = task(status="succeeded", result={"size": 3})
    httpserver.expect_request("/tasks", method="POST").respond_with_json(task(), status=201)
    httpserver.expect_request(f"/tasks/{TASK_ID}").respond_with_json(ended)
    serve_stream(httpserver, stream(RUNNING, END))
    result = aurea(httpserver, "submit", "resize", "--wait", "--json")
    assert result.exit_code == 0
    assert orjson.loads(result.stdout) == ended


def test_ctrl_c_leaves_the_task_running_and_says_how_to_go_on(httpserver: HTTPServer):
    leave = threading.Event()

    def hold():
        yield RUNNING
        leave.wait(30)

    serve_stream(httpserver, lambda _: Response(hold(), mimetype="text/event-stream"))
    process = start(httpserver, *FOLLOW, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        leave.set()
    assert process.returncode == 130
    assert f"aurea tasks logs {TASK_ID} --follow".encode() in said
    assert f"aurea tasks cancel {TASK_ID}".encode() in said
    assert b"Traceback" not in said


def test_a_reader_that_leaves_early_causes_no_traceback(httpserver: HTTPServer):
    serve_stream(
        httpserver, stream(*[frame(n, "log", {"text": "x" * 4096, "fields": {}}) for n in range(11, 200)], END)
    )
    process = start(httpserver, *FOLLOW, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.wait(timeout=10)
    process.stderr.close()


def test_a_terminal_gets_colours_and_a_progress_bar(httpserver: HTTPServer):
    serve_stream(httpserver, stream(RUNNING, LOG, HALF, TOKENS, RESULT, FAILED))
    screen = on_terminal(httpserver, FOLLOW)
    assert screen.exit_code == 3
    assert "\x1b[33mwarning" in screen.text  # yellow
    assert "\x1b[31mfailed" in screen.text  # red
    assert "━" in screen.text
    assert "50%" in screen.text
    assert "Hello, world\r\n" in screen.text
    assert "Boom: it broke" in screen.text


GROWING = b"".join(
    frame(2 * n, "token", {"text": f"word-{n} "}) + frame(2 * n + 1, "progress", {"fraction": n / 60})
    for n in range(30)
)


def test_text_that_grows_beside_progress_is_one_line_in_a_pipe(httpserver: HTTPServer):
    serve_stream(httpserver, stream(GROWING, frame(70, "end", {"status": "succeeded", "error": None})))
    lines = aurea(httpserver, *FOLLOW).stdout.splitlines()
    assert lines[-2] == "token\t" + " ".join(f"word-{n}" for n in range(30))
    assert [line.split("\t")[0] for line in lines] == ["progress"] * 30 + ["token", "end"]


def test_text_that_grows_beside_progress_is_whole_on_a_terminal(httpserver: HTTPServer):
    serve_stream(httpserver, stream(GROWING, frame(70, "end", {"status": "succeeded", "error": None})))
    screen = on_terminal(httpserver, FOLLOW, env={"COLUMNS": "60"})
    left = [line for line in lines_left(screen.text) if line]
    assert " ".join(left[:-1]) == " ".join(f"word-{n}" for n in range(30))
    assert max(len(line) for line in left) <= 60
    assert left[-1].startswith("■ succeeded")


ANEW = (
    frame(11, "token", {"text": "Half an ans"})
    + frame(12, "token", {"text": "", "reset": True})
    + frame(13, "token", {"text": "A whole one"})
)


def test_text_that_is_dropped_stands_apart_from_what_comes_instead_on_a_terminal(httpserver: HTTPServer):
    serve_stream(httpserver, stream(ANEW, END))
    left = [line for line in lines_left(on_terminal(httpserver, FOLLOW, env={"NO_COLOR": "1"}).text) if line]
    first, note, *rest = (re.sub(r"\x1b.*?m", "", line).strip() for line in left)
    assert (first, note, rest[0]) == ("Half an ans", "dropped; the text begins anew", "A whole one")


def test_text_that_is_dropped_is_not_written_to_a_pipe(httpserver: HTTPServer):
    serve_stream(httpserver, stream(ANEW, END))
    assert aurea(httpserver, *FOLLOW).stdout.splitlines() == ["token\tA whole one", "end\tsucceeded"]


def test_text_that_has_ended_stays_above_what_comes_next(httpserver: HTTPServer):
    serve_stream(httpserver, stream(HALF, TOKENS, DONE, RESULT, frame(23, "progress", {"fraction": 0.7}), END))
    screen = on_terminal(httpserver, FOLLOW)
    assert "world" not in screen.text.partition("●")[2]
    assert "70%" in screen.text.partition("●")[2]


def lines_left(written: str) -> list[str]:
    """What stands on the terminal in the end: the few movements that a live display makes, carried out."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", written):
        match piece:
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\x1b[1A":
                row -= 1
            case "\x1b[2K":
                lines[row] = ""
            case "\r":
                pass
            case _ if not piece.startswith("\x1b"):
                lines[row] += piece
    return [line.rstrip() for line in lines]


def test_no_color_is_respected(httpserver: HTTPServer):
    serve_stream(httpserver, stream(RUNNING, LOG, FAILED))
    screen = on_terminal(httpserver, FOLLOW, env={"NO_COLOR": "1"})
    assert "\x1b[3" not in screen.text
    assert "warning" in screen.text


def test_what_a_handler_tells_cannot_move_the_cursor(httpserver: HTTPServer):
    serve_stream(httpserver, stream(frame(11, "log", {"text": "\x1b[2Jgone\r\x9b1A", "fields": {}}), END))
    screen = on_terminal(httpserver, FOLLOW)
    assert "gone" in screen.text
    assert "\x1b[2J" not in screen.text
    assert "\x9b" not in screen.text
