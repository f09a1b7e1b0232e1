"""What handlers may say of their files."""

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.labels import check_bucket, check_name, content_type_of, disposition
from orchestrator.sdk import Context, task
from orchestrator.testing import run_task


@pytest.mark.parametrize("name", ["a", "report 2026.md", "%2e%2e%2f", "résumé.pdf", "你好", "👩\u200d💻", "x" * 255])
def test_a_label_is_what_people_can_read(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\t", "x" * 256, ".", "..", "../etc/passwd", "a/b", "/a", "C:\\a", "a\x00b", "a\nb",
        "a\r\nSet-Cookie: b", "\x7f", "\x85", "invoice\u202efdp.exe", "a\u200bb", "a\u2028b", "\ud800", "\ufeffa",
    ],
)  # fmt: skip
def test_what_is_no_label_is_refused_with_a_fix(name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_name(name)
    assert refusal.value.issues[0].pointer == "/name"


def test_a_bucket_is_one_of_two() -> None:
    check_bucket("content")
    with pytest.raises(InvalidInput, match="orchestrator, content"):
        check_bucket("../content")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.md", True, "text/markdown; charset=utf-8"), ("a.md", False, "text/markdown"),
        ("a.JSON", True, "application/json"), ("a.html", True, "text/html; charset=utf-8"),
        ("notes", True, "text/plain; charset=utf-8"), ("notes", False, "application/octet-stream"),
        ("a.yaml", False, "application/yaml"), ("a.png", False, "image/png"),
        ("data:text/html,x", False, "application/octet-stream"), ("http://x/a.html", False, "text/html"),
    ],
)  # fmt: skip
def test_the_ending_decides_where_nothing_was_said(name: str, text: bool, kind: str) -> None:
    assert content_type_of(name, None, text=text) == kind


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html; charset=utf-8", 'multipart/mixed; boundary="a b"', "a/b;c=d"]
)
def test_a_media_type_is_taken_as_given(kind: str) -> None:
    assert content_type_of("a.md", kind) == kind


@pytest.mark.parametrize(
    "kind", ["", "text", "text/html\r\nX: y", "text/html\n", "a/b; c", "a/b" + "; c=d" * 99, "a/ü", 'a/b; c="d']
)
def test_what_is_no_media_type_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match="media type"):
        content_type_of("a.md", kind)


def test_a_browser_saves_the_file_whatever_it_is_called() -> None:
    assert disposition("a.md") == "attachment; filename=\"a.md\"; filename*=UTF-8''a.md"
    plain, spelled = disposition('a"; filename=b.exe\\%41 é.md').split("; filename*=")
    assert plain == 'attachment; filename="a__ filename=b.exe__41 _.md"'
    assert spelled == "UTF-8''a%22%3B%20filename%3Db.exe%5C%2541%20%C3%A9.md"


@task("files")
async def filing(payload: dict, ctx: Context) -> None:
    await ctx.artifact(payload.pop("name", "a"), "x", **payload)


@pytest.mark.parametrize("wrong", [{"name": "../a"}, {"content_type": "text/html\r\nx: y"}, {"bucket": "../secrets"}])
def test_a_handler_s_file_is_checked_before_anything_is_kept(wrong: dict[str, str]) -> None:
    run = run_task(filing, wrong)
    assert run.error is not None
    assert (run.error.type, run.error.retryable) == ("InvalidInput", False)
    assert run.artifacts == []
