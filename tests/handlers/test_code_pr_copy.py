"""The working copy of code_pr: how it is taken, what stays out of it, and that no path leads out of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.code_pr.bounds import Bounds, split_path
from handlers.code_pr.toolbox import MOST_READ_CHARACTERS, read_call, use
from handlers.code_pr.workspace import MOST_WRITTEN_BYTES, File, Mistake, WorkingCopy
from tests.handlers import coder
from tests.handlers.coder import FINISH, Scene, open_scene

MANY = {f"src/f{number}.py": f"number = {number}\n" for number in range(30)}
ODD = {
    "link": ("120000", "/etc/passwd"),
    "folder/up": ("120000", "../.."),
    "module": ("160000", b""),
    "big.bin": b"x" * (2 * 2**20 + 1),
    "image.png": b"\x89PNG\0",
    "latin.txt": "grün".encode("latin-1"),
    ".github/workflows/ci.yml": "on: push\n",
    "src/app.py": "def greet():\n    return 'hello'\n",
}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        yield scene


def copy_of(files: dict[str, str | bytes], *globs: str, most: int = 50, **left_out: str) -> WorkingCopy:
    held = {path: File("100644", content.encode() if isinstance(content, str) else content)
            for path, content in files.items()}  # fmt: skip
    return WorkingCopy(held, left_out, Bounds(globs), most)


def ask(copy: WorkingCopy, name: str, **arguments: Any) -> str:
    return use(copy, read_call(name, arguments))


async def answers(scene: Scene, *calls: Any, **payload: Any) -> list[str]:
    """Run the task with these calls in one turn, and return what the model was answered."""
    run = await scene.run(tuple(calls), FINISH, **payload)
    assert run.error is None, run.error
    return [result.text for result in run.requests[1].messages[-1].tool_results]


async def test_many_files_come_in_one_archive_that_our_token_is_not_sent_for(scene: Scene) -> None:
    scene.github.add("acme/many", MANY)
    (found,) = await answers(scene, coder.use("search", text="number = 17"), repository="acme/many")
    assert found == "src/f17.py:1: number = 17"
    assert sum("/git/blobs/" in call for call in scene.github.calls) == 0
    assert sum("codeload" in call for call in scene.github.calls) == 1


async def test_what_the_archive_leaves_out_or_changes_is_fetched_as_it_is(scene: Scene) -> None:
    scene.github.add("acme/many", MANY, export_ignored=("src/f1.py",), export_changed={"src/f2.py": b"number = 9\n"})
    read = await answers(scene, *(coder.use("read_file", path=f"src/f{n}.py") for n in (1, 2)), repository="acme/many")
    assert [text.splitlines()[1] for text in read] == ["number = 1", "number = 2"]
    assert sum("/git/blobs/" in call for call in scene.github.calls) == 2


async def test_a_damaged_archive_is_worth_a_retry(scene: Scene) -> None:
    scene.github.add("acme/many", MANY)
    sha = scene.github.repositories["acme/many"].branches["main"]
    scene.github.fail("GET", f"legacy.tar.gz/{sha}", 200, b"\x1f\x8b\x08 no archive")
    run = await scene.run(repository="acme/many")
    assert run.error.retryable
    assert "the archive of the files is damaged" in run.error.message


async def test_an_archive_that_is_limited_is_waited_out(scene: Scene) -> None:
    scene.github.add("acme/many", MANY)
    sha = scene.github.repositories["acme/many"].branches["main"]
    scene.github.fail("GET", f"legacy.tar.gz/{sha}", 429, retry_after="9")
    assert (await scene.run(repository="acme/many")).retry_after_seconds == 9.0


async def test_links_submodules_and_large_files_are_named_and_never_followed(scene: Scene) -> None:
    scene.github.add("acme/odd", ODD)
    listed, *refused = await answers(
        scene,
        coder.use("list_files"),
        coder.use("read_file", path="link"),
        coder.use("read_file", path="folder/up/x"),
        coder.use("write_file", path="link", content="x"),
        coder.use("write_file", path="link/passwd", content="x"),
        coder.use("write_file", path="module/x", content="x"),
        coder.use("delete_file", path="big.bin"),
        coder.use("read_file", path="image.png"),
        coder.use("edit_file", path="latin.txt", old="gr", new="br"),
        repository="acme/odd",
    )
    assert "link (a symbolic link: cannot be read)" in listed
    assert "module (a submodule: cannot be read)" in listed
    assert "big.bin (larger than 2 MiB: cannot be read)" in listed
    assert refused == [
        "link is a symbolic link: it can neither be read nor changed",
        "there is no file folder/up/x",
        "link is a symbolic link: it can neither be read nor changed",
        "link is a symbolic link: nothing can stand below it",
        "module is a submodule: nothing can stand below it",
        "big.bin is larger than 2 MiB: it can neither be read nor changed",
        "image.png is not text in UTF-8",
        "latin.txt is not text in UTF-8",
    ]
    assert scene.github.asked == []


async def test_a_path_that_git_would_never_hold_is_left_out(scene: Scene) -> None:
    scene.github.add("acme/odd", {"../evil": "x", ".git/config": "x", "a\\b": "x", "ok.py": "y"})
    (listed,) = await answers(scene, coder.use("list_files"), repository="acme/odd")
    assert [line for line in listed.splitlines() if "cannot be read" not in line] == ["ok.py"]


async def test_paths_bound_what_is_fetched_read_and_changed(scene: Scene) -> None:
    scene.github.add("acme/odd", ODD)
    listed, read, written = await answers(
        scene,
        coder.use("list_files"),
        coder.use("read_file", path="latin.txt"),
        coder.use("write_file", path="srcs/app.py", content="x"),
        repository="acme/odd",
        paths=["src/**"],
        max_files=1,
    )
    assert listed == "src/app.py"
    assert read == "latin.txt lies outside of what this task may read: src/**"
    assert written == "srcs/app.py lies outside of what this task may read: src/**"
    assert sum("/git/blobs/" in call for call in scene.github.calls) == 1


async def test_what_github_runs_is_changed_only_when_it_is_asked_for_by_name(scene: Scene) -> None:
    scene.github.add("acme/odd", ODD)
    edit = coder.use("edit_file", path=".github/workflows/ci.yml", old="push", new="pull_request_target")
    (refused,) = await answers(scene, edit, repository="acme/odd")
    assert refused == ".github/workflows/ci.yml may be read but not changed in this task"
    (refused,) = await answers(scene, edit, repository="acme/odd", paths=["**"])
    assert "may be read but not changed" in refused
    (done,) = await answers(scene, edit, repository="acme/odd", paths=[".github/workflows/**"])
    assert done == ".github/workflows/ci.yml changed"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"max_files": 1}, "the working copy would have 2 files, more than max_files (1): narrow paths, or raise it"),
        ({"max_bytes": 10}, "bytes, more than max_bytes (10): narrow paths, or raise it"),
        ({"paths": ["nowhere/**"]}, "no file lies inside paths (nowhere/**): correct them"),
    ],
)
async def test_a_repository_over_a_limit_is_refused_before_a_model_is_asked(
    scene: Scene, payload: dict[str, Any], expected: str
) -> None:
    run = await scene.run(**payload)
    assert not run.error.retryable
    assert expected in run.error.message
    assert run.requests == []


async def test_a_repository_that_github_cannot_list_is_refused(scene: Scene) -> None:
    scene.github.repositories["acme/app"].truncated = True
    assert "too large for this handler" in await scene.failure()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "./../x", "a/./b", "", ".", "..", ".git/config", "a/.GIT/hooks/x",
     "a\\..\\b", "a\0b", "a\nb", "x" * 1_025, "a/"],
)  # fmt: skip
@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "delete_file"])
def test_no_path_leads_out(path: str, tool: str) -> None:
    more = {"write_file": {"content": "x"}, "edit_file": {"old": "a", "new": "b"}}.get(tool, {})
    copy = copy_of({"a/b": "a"})
    with pytest.raises(Mistake, match="is not a path inside the repository"):
        ask(copy, tool, path=path, **more)
    assert copy.changes() == []
    assert split_path(path) is None


def test_files_and_folders_do_not_take_each_others_place() -> None:
    copy = copy_of({"a/b": "x", "c": "y"})
    with pytest.raises(Mistake, match="a is a folder"):
        ask(copy, "write_file", path="a", content="x")
    with pytest.raises(Mistake, match="c is a file: nothing can stand below it"):
        ask(copy, "write_file", path="c/d", content="x")


def test_an_edit_has_to_be_exact_and_unambiguous() -> None:
    copy = copy_of({"f": "one two one\n"})
    for old, reason in (("three", "does not stand in f"), ("", "does not stand in f"), ("one", "stands 2 times in f")):
        with pytest.raises(Mistake, match=reason):
            ask(copy, "edit_file", path="f", old=old, new="x")
    assert ask(copy, "edit_file", path="f", old="one", new="1", everywhere=True) == "f changed in 2 places"
    assert copy.read("f") == "1 two 1\n"


def test_changes_are_bounded_and_a_change_too_many_changes_nothing() -> None:
    copy = copy_of({"a": "1", "b": "2", "c": "3"}, most=2)
    ask(copy, "write_file", path="a", content="x")
    ask(copy, "delete_file", path="b")
    for tool, arguments in (("delete_file", {"path": "c"}), ("write_file", {"path": "d", "content": "x"})):
        with pytest.raises(Mistake, match="at most 2 files may be changed"):
            ask(copy, tool, **arguments)
    assert copy.paths() == ["a", "c"]
    with pytest.raises(Mistake, match="can be written"):
        ask(copy, "write_file", path="a", content="x" * (MOST_WRITTEN_BYTES + 1))
    for content in ("\0", "\ud800"):
        with pytest.raises(Mistake, match="the content holds"):
            ask(copy, "write_file", path="a", content=content)
    assert copy.read("a") == "x"


def test_answers_are_bounded() -> None:
    copy = copy_of({f"f{n:04}": "needle\n" for n in range(600)} | {"long": "y" * 200_000, "lines": "z\n" * 3_000})
    listed = ask(copy, "list_files").splitlines()
    assert len(listed) == 501
    assert listed[-1] == "... and 102 more files: name a folder"
    found = ask(copy, "search", text="NEEDLE", ignore_case=True).splitlines()
    assert len(found) == 101
    assert len(ask(copy, "read_file", path="long")) < MOST_READ_CHARACTERS + 100
    part = ask(copy, "read_file", path="lines", first_line=2_999)
    assert part == "lines, lines 2999 to 3000 of 3000:\nz\nz\n"
    with pytest.raises(Mistake, match="lines has 3000 lines"):
        ask(copy, "read_file", path="lines", first_line=3_001)
    assert ask(copy, "search", text="needle", glob="*9") != "nothing found"
    assert ask(copy, "search", text="(a+)+$") == "nothing found"


@pytest.mark.parametrize(
    ("globs", "path", "allowed"),
    [
        (["src/**"], "src/a/b.py", True),
        (["src/**"], "srcs/a.py", False),
        (["src"], "src/a/b.py", True),
        (["src/*"], "src/a/b.py", False),
        (["src/*.py"], "src/a.py", True),
        (["**/*.md"], "README.md", True),
        (["**/*.md"], "docs/a/b.md", True),
        (["*.md"], "docs/b.md", False),
        (["a/**/z.py"], "a/z.py", True),
        (["a/**/z.py"], "a/b/c/z.py", True),
        (["x", "docs"], "docs/a", True),
        ([], "anything", True),
        (["[ab].py"], "b.py", True),
    ],
)
def test_globs_bound_paths_part_by_part(globs: list[str], path: str, allowed: bool) -> None:
    assert Bounds(globs).allow(path) is allowed
