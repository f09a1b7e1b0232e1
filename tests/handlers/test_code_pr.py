"""code_pr from the payload to the pull request, when all goes well."""

from collections.abc import AsyncIterator

import pytest

from handlers.code_pr import code_pr
from orchestrator.domain.errors import InvalidInput
from orchestrator.egress import open_client
from tests.fakes.github import TOKEN
from tests.handlers.coder import DONE, EDIT, FINISH, PAYLOAD, Scene, open_scene, use

MARK = "<!-- aurea-task: "


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        yield scene


@pytest.fixture
async def guarded_scene() -> AsyncIterator[Scene]:
    async with open_scene(guarded=True) as scene:
        yield scene


async def test_the_models_changes_become_one_commit_in_one_pull_request(guarded_scene: Scene) -> None:
    scene = guarded_scene
    run = await scene.run()
    repository = scene.github.repositories["acme/app"]
    (pull,) = repository.pulls
    (branch,) = set(repository.branches) - {"main"}
    assert branch.startswith("aurea/be-polite-")
    assert len(branch) == len("aurea/be-polite-") + 12
    assert repository.text_of(branch, "src/app.py") == "def greet():\n    return 'goodbye'\n"
    assert repository.text_of(branch, "README.md") == "hello\n"
    commit = repository.commits[repository.branches[branch]]
    assert commit["parents"] == [repository.branches["main"]]
    assert commit["message"].startswith("Say goodbye\n\nThe greeting is polite now.\n")
    assert (pull["title"], pull["draft"], pull["base"]["ref"]) == ("Say goodbye", False, "main")
    assert "The greeting is polite now." in pull["body"]
    assert "- modified `src/app.py`" in pull["body"]
    assert pull["body"].count(MARK) == 1
    assert run.result == {
        "outcome": "opened",
        "repository": "acme/app",
        "branch": branch,
        "pull_request": {
            "number": 1,
            "url": "https://github.com/acme/app/pull/1",
            "state": "open",
            "draft": False,
            "commit": repository.branches[branch],
            "base": "main",
        },
        "title": "Say goodbye",
        "commit": repository.branches[branch],
        "summary": DONE["summary"],
        "changed": [{"path": "src/app.py", "change": "modified"}],
        "turns": 2,
        "model": "anthropic/claude-test",
        "usage": {"input_tokens": 2000, "output_tokens": 200},
        "cost_usd": 0.02,
        "check": None,
        "warnings": [],
    }


async def test_what_happens_is_told_once_and_progress_grows(scene: Scene) -> None:
    run = await scene.run()
    assert [log.text for log in run.logs] == [
        "starting",
        "turn 1",
        "turn 2",
        "committed",
        "branch made",
        "pull request opened",
    ]
    assert run.logs[1].fields["used"] == ["edit_file src/app.py"]
    fractions = [each.fraction for each in run.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


async def test_files_are_added_changed_and_deleted_with_their_modes(scene: Scene) -> None:
    repository = scene.github.add("acme/tools", {"run.sh": ("100755", "echo 1\r\necho 2\r\n"), "old.md": "x", "a": "b"})
    run = await scene.run(
        (
            use("edit_file", path="run.sh", old="echo 1\necho 2", new="echo 3\necho 4"),
            use("write_file", path="./docs/new.md", content="new é\n"),
            use("delete_file", path="old.md"),
            use("write_file", path="a", content="b"),
        ),
        FINISH,
        repository="acme/tools",
    )
    files = repository.files_of(run.result["branch"])
    assert files == {
        "run.sh": ("100755", b"echo 3\r\necho 4\r\n"),
        "docs/new.md": ("100644", "new é\n".encode()),
        "a": ("100644", b"b"),
    }
    assert [(each["path"], each["change"]) for each in run.result["changed"]] == [
        ("docs/new.md", "added"),
        ("old.md", "deleted"),
        ("run.sh", "modified"),
    ]


async def test_nothing_changed_is_a_result_without_a_pull_request(scene: Scene) -> None:
    run = await scene.run(
        use("read_file", path="README.md"), use("done", title="None", summary="It is polite already.")
    )
    assert (run.result["outcome"], run.result["pull_request"]) == ("unchanged", None)
    assert run.result["summary"] == "It is polite already."
    assert scene.github.asked == []


async def test_a_change_that_was_taken_back_is_none(scene: Scene) -> None:
    back = use("edit_file", path="src/app.py", old="'goodbye'", new="'hello'")
    run = await scene.run(EDIT, back, use("delete_file", path="README.md"),
                          use("write_file", path="README.md", content="hello\n"), FINISH)  # fmt: skip
    assert run.result["outcome"] == "unchanged"


async def test_words_after_the_work_are_its_end(scene: Scene) -> None:
    run = await scene.run(EDIT, "I made the greeting polite.")
    assert run.result["summary"] == "I made the greeting polite."
    assert run.result["title"] == "Be polite"


async def test_title_draft_labels_reviewers_author_and_base_are_as_asked(scene: Scene) -> None:
    repository = scene.github.repositories["acme/app"]
    repository.branches["release/1.x"] = repository.commit("second", {"src/app.py": "'hello'\n"})
    run = await scene.run(
        base="release/1.x",
        title="Goodbye, world",
        draft=True,
        labels=["polite"],
        reviewers=["ada", "acme/grace"],
        author={"name": "Ada", "email": "ada@example.com"},
    )
    (pull,) = repository.pulls
    assert (pull["title"], pull["draft"], pull["base"]["ref"]) == ("Goodbye, world", True, "release/1.x")
    assert (pull["labels"], pull["reviewers"]) == (["polite"], ["ada", "grace"])
    assert run.result["branch"].startswith("aurea/goodbye-world-")
    assert repository.commits[run.result["commit"]]["author"] == {"name": "Ada", "email": "ada@example.com"}
    assert repository.commits[run.result["commit"]]["parents"] == [repository.branches["release/1.x"]]
    assert run.result["warnings"] == []


async def test_labels_and_reviewers_that_cannot_be_had_are_warnings(scene: Scene) -> None:
    scene.github.fail("POST", "/labels", 403, "Resource not accessible by integration")
    run = await scene.run(labels=["polite"], reviewers=["nobody"])
    assert run.result["outcome"] == "opened"
    first, second = run.result["warnings"]
    assert "could not put the labels on" in first
    assert "Reviews may only be requested from collaborators" in second
    assert [log.text for log in run.logs if log.fields.get("level") == "warning"] == [first, second]


async def test_a_repository_without_drafts_gets_a_pull_request_and_a_warning(scene: Scene) -> None:
    scene.github.repositories["acme/app"].has_drafts = False
    run = await scene.run(draft=True)
    assert run.result["pull_request"]["draft"] is False
    assert run.result["warnings"] == ["the repository has no drafts: the pull request is ready for review"]


async def test_a_renamed_repository_is_found_under_its_new_name(guarded_scene: Scene) -> None:
    scene = guarded_scene
    scene.github.moved["acme/old"] = "acme/app"
    run = await scene.run(repository="acme/old")
    assert run.result["repository"] == "acme/app"
    assert len(scene.github.repositories["acme/app"].pulls) == 1


async def test_the_model_is_asked_as_the_payload_says(scene: Scene) -> None:
    run = await scene.run(
        provider="openai", model="gpt-test", max_tokens=4_096, max_cost_usd=0.5, on_budget="wait", paths=["src/**"]
    )
    first = run.requests[0]
    assert (first.provider, first.model, first.max_tokens) == ("openai", "gpt-test", 4_096)
    assert (first.max_cost_usd, first.on_budget) == (0.5, "wait")
    assert "Be polite\nand brief" in first.messages[0].text
    assert "src/**" in first.messages[0].text
    assert [tool.name for tool in first.tools] == [
        "list_files", "read_file", "search", "edit_file", "write_file", "delete_file", "done",
    ]  # fmt: skip
    assert all(tool.schema["type"] == "object" and tool.description for tool in first.tools)


async def test_an_address_of_github_that_is_private_has_to_be_allowed(scene: Scene) -> None:
    scene.http = open_client()
    async with scene.http:
        said = await scene.failure()
    assert "not a public address" in said
    assert scene.github.calls == []


async def test_no_token_is_told_kept_or_returned(scene: Scene) -> None:
    scene.github.fail("POST", "/labels", 422, "no")
    run = await scene.run(labels=["x"])
    assert TOKEN not in repr((run.result, run.error, run.logs, run.progress, run.steps, run.tokens, run.requests))
    assert TOKEN not in repr(scene.github.asked)
    scene.github.tokens.clear()
    failed = await scene.run()
    assert TOKEN not in repr((failed.error, failed.logs))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"repository": "acme"}, "/payload/repository"),
        ({"repository": "acme/.."}, "/payload/repository"),
        ({"repository": "acme/app/../../x"}, "/payload/repository"),
        ({"repository": "acme/app?x=1"}, "/payload/repository"),
        ({"instruction": ""}, "/payload/instruction"),
        ({"base": "a..b"}, "/payload/base"),
        ({"base": "a b"}, "/payload/base"),
        ({"paths": ["../x"]}, "/payload/paths"),
        ({"paths": ["/etc/**"]}, "/payload/paths"),
        ({"paths": ["**/a/**/b/**/c/**"]}, "/payload/paths"),
        ({"title": "two\nlines"}, "/payload/title"),
        ({"reviewers": ["a b"]}, "/payload/reviewers/0"),
        ({"check": []}, "/payload/check"),
        ({"check": "pytest"}, "/payload/check"),
        ({"max_turns": 0}, "/payload/max_turns"),
        ({"author": {"name": "A\nB", "email": "a@b.c"}}, "/payload/author/name"),
        ({"author": {"name": "A", "email": "a@b>.c"}}, "/payload/author/email"),
        ({"model": "claude"}, "/payload"),
        ({"token": "x"}, "/payload/token"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_place(change: dict[str, object], pointer: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        code_pr.validate({**PAYLOAD, **change})
    assert [issue.pointer for issue in refusal.value.issues] == [pointer]
