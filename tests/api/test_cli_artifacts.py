"""The files of a task on the command line: a table, and one of them fetched whole or not at all."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer

from tests.api.command_line import TASK_ID, TOKEN, aurea, on_terminal, page

FILES = f"/tasks/{TASK_ID}/artifacts"
ONE = "01997c0e-7d40-7abc-8def-0123456789ff"
LIST = ("tasks", "artifacts", TASK_ID)
SAVE = (*LIST, "--save", "report.md")


def artifact(**changes: Any) -> dict[str, Any]:
    """A file as the contract shows it."""
    return {
        "id": ONE, "name": "report.md", "bucket": "content", "content_type": "text/markdown", "size_bytes": 5,
        "sha256": "ab" * 32, "created_at": "2026-11-20T10:00:00.5Z", "download_url": None,
        "download_url_expires_at": None, "links": {"self": f"{FILES}/{ONE}", "task": f"/tasks/{TASK_ID}"},
    } | changes  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def in_folder() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_files_are_a_table_on_a_terminal(httpserver: HTTPServer) -> None:
    httpserver.expect_request(FILES).respond_with_json(page(artifact()))
    screen = on_terminal(httpserver, LIST, env={"COLUMNS": "140"})
    heading, line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.text).splitlines()
    assert heading.split() == ["NAME", "BYTES", "CONTENT", "TYPE", "BUCKET", "CREATED", "ID"]
    assert line.split() == ["report.md", "5", "text/markdown", "content", "2026-11-20T10:00:00Z", ONE]


def test_a_pipe_gets_tabs_and_a_program_json(httpserver: HTTPServer) -> None:
    httpserver.expect_request(FILES).respond_with_json(page(artifact(), next_cursor="more"))
    listed = aurea(httpserver, *LIST)
    assert listed.stdout.split("\t")[:4] == ["report.md", "5", "text/markdown", "content"]
    assert f"aurea tasks artifacts {TASK_ID} --cursor more" in listed.stderr
    assert orjson.loads(aurea(httpserver, *LIST, "--json").stdout) == page(artifact(), next_cursor="more")


def test_a_file_is_fetched_by_its_name_from_whatever_page_it_is_on(httpserver: HTTPServer) -> None:
    first = page(artifact(id=TASK_ID, name="log.txt"), next_cursor="2")
    httpserver.expect_request(FILES, query_string={"limit": "200", "cursor": "2"}).respond_with_json(page(artifact()))
    httpserver.expect_request(FILES, query_string={"limit": "200"}).respond_with_json(first)
    httpserver.expect_request(f"{FILES}/{ONE}").respond_with_data(b"hello", content_type="text/markdown")
    assert aurea(httpserver, *SAVE).stdout == "report.md: 5 bytes\n"
    assert Path("report.md").read_bytes() == b"hello"
    Path("folder").mkdir()
    aurea(httpserver, *SAVE, "--to", "folder")
    aurea(httpserver, *SAVE, "--to", "other.md")
    assert Path("folder/report.md").read_bytes() == Path("other.md").read_bytes() == b"hello"


def test_a_link_to_the_store_is_followed_without_the_token(httpserver: HTTPServer) -> None:
    httpserver.expect_request(FILES).respond_with_json(page(artifact()))
    signed = httpserver.url_for("/store/report?signature=x")
    httpserver.expect_request(f"{FILES}/{ONE}").respond_with_data("", status=307, headers={"Location": signed})
    httpserver.expect_request("/store/report").respond_with_data(b"hello")
    assert aurea(httpserver, *SAVE).exit_code == 0
    assert Path("report.md").read_bytes() == b"hello"
    here, store = httpserver.log[-2][0], httpserver.log[-1][0]
    assert (here.headers["Authorization"], store.path) == (f"Bearer {TOKEN}", "/store/report")
    assert "Authorization" not in store.headers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"response_data": b"hell"}, "4 of 5 bytes came"),
        ({"response_data": b'{"detail": "its bytes are gone"}', "status": 404}, "its bytes are gone"),
        ({"response_data": b"", "status": 307, "headers": {"Location": "http://127.0.0.1:1/x"}}, "the store at 127.0"),
    ],
)
def test_a_file_that_does_not_come_whole_leaves_what_was_there(
    httpserver: HTTPServer, answer: dict[str, Any], said: str
) -> None:
    httpserver.expect_request(FILES).respond_with_json(page(artifact()))
    httpserver.expect_request(f"{FILES}/{ONE}").respond_with_data(**answer)
    Path("report.md").write_bytes(b"before")
    result = aurea(httpserver, *SAVE)
    assert result.exit_code == 1
    assert said in result.stderr
    assert Path("report.md").read_bytes() == b"before"
    assert in_folder() == ["report.md"]


def test_what_cannot_be_saved_is_said_with_the_way_out(httpserver: HTTPServer) -> None:
    httpserver.expect_request(FILES).respond_with_json(page(artifact(), artifact(name="..")))
    missing = aurea(httpserver, *LIST, "--save", "none.md")
    assert missing.exit_code == 1
    assert missing.stderr.splitlines()[1].strip() == f"what it has: aurea tasks artifacts {TASK_ID}"
    assert aurea(httpserver, *LIST, "--to", "a.md").exit_code == 2
    httpserver.expect_request(f"{FILES}/{ONE}").respond_with_data(b"hello")
    for args in ((*SAVE, "--to", "none/a.md"), (*LIST, "--save", "..")):
        refused = aurea(httpserver, *args)
        assert refused.exit_code == 1
        assert "choose another with --to" in refused.stderr
    assert in_folder() == []
