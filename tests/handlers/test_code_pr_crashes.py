"""code_pr cut short anywhere, run twice, run beside itself: one branch, one pull request."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from handlers.code_pr.words import branch_of
from orchestrator.testing import FakeClock, TaskRun
from tests.fakes.github_repository import Repository
from tests.handlers.coder import EDIT, FILES, FINISH, Scene, open_scene, use

MORE = {"labels": ["polite"], "reviewers": ["ada"]}
OTHER_EDIT = use("write_file", path="other.md", content="another idea")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        yield scene


def effects(repository: Repository) -> tuple[list[str], list[str]]:
    """The branches besides the base, and the pull requests' heads; the base stands where it stood."""
    first = next(iter(repository.commits))
    assert repository.branches["main"] == first
    return sorted(set(repository.branches) - {"main"}), [pull["head"]["ref"] for pull in repository.pulls]


def assert_one(run: TaskRun, repository: Repository) -> None:
    assert run.error is None
    branches, heads = effects(repository)
    assert branches == heads == [run.result["branch"]]
    assert run.result["pull_request"]["number"] == 1
    assert repository.text_of(heads[0], "src/app.py") == "def greet():\n    return 'goodbye'\n"


async def test_killed_at_any_boundary_it_leaves_one_branch_and_one_pull_request(scene: Scene) -> None:
    whole = await scene.run(**MORE)
    assert whole.boundaries >= 20
    for place in range(1, whole.boundaries + 1):
        repository = scene.github.add(f"acme/r{place}", dict(FILES))
        run = await scene.start(kill_at=place, repository=repository.name, **MORE)
        assert_one(run, repository)
        assert (repository.pulls[0]["labels"], repository.pulls[0]["reviewers"]) == (["polite"], ["ada"])
        assert run.result["turns"] == 2
        assert len(run.requests) <= 3  # the two turns, and one that was cut before it was kept
        texts = [log.text for log in run.logs]
        assert len(texts) - len(set(texts)) <= 1, texts  # what was cut between its telling and its keeping


@pytest.mark.parametrize(
    "end", ["/git/trees", "/git/commits", "/git/refs", "/pulls", "/labels", "/requested_reviewers"]
)
async def test_an_act_whose_answer_was_lost_is_not_done_twice(scene: Scene, end: str) -> None:
    scene.github.fail("POST", end, 502, done=True)
    failed = await scene.run(**MORE)
    assert failed.error is not None
    assert failed.error.retryable
    run = await scene.start(steps=failed.steps, attempt=2, **MORE)
    assert_one(run, scene.github.repositories["acme/app"])


async def test_a_pull_request_that_was_closed_before_its_answer_came_is_not_opened_again(scene: Scene) -> None:
    scene.github.fail("POST", "/pulls", 502, done=True)
    failed = await scene.run()
    repository = scene.github.repositories["acme/app"]
    repository.pulls[0]["state"] = "closed"
    run = await scene.start(steps=failed.steps, attempt=2)
    assert_one(run, repository)
    assert run.result["pull_request"]["state"] == "closed"


async def test_started_over_it_finds_its_pull_request_and_asks_no_model(scene: Scene) -> None:
    first = await scene.run()
    again = await scene.run(EDIT, OTHER_EDIT, FINISH)
    assert_one(first, scene.github.repositories["acme/app"])
    assert again.result == {
        "outcome": "found",
        "repository": "acme/app",
        "branch": first.result["branch"],
        "pull_request": first.result["pull_request"],
    }
    assert again.requests == []


@pytest.mark.parametrize("state", ["closed", "merged"])
async def test_a_pull_request_that_people_ended_stays_the_one(scene: Scene, state: str) -> None:
    await scene.run()
    repository = scene.github.repositories["acme/app"]
    (pull,) = repository.pulls
    pull["state"] = "closed"
    if state == "merged":
        pull["merged_at"] = "2026-01-01T00:00:00Z"
        del repository.branches[pull["head"]["ref"]]
    again = await scene.run()
    assert again.result["outcome"] == "found"
    assert again.result["pull_request"]["state"] == state
    assert len(repository.pulls) == 1


async def test_a_pull_request_whose_body_people_rewrote_is_known_by_its_commit(scene: Scene) -> None:
    await scene.run()
    (pull,) = scene.github.repositories["acme/app"].pulls
    pull["body"] = None
    assert (await scene.run()).result["outcome"] == "found"


async def test_started_over_behind_its_branch_it_opens_the_pull_request_for_what_is_there(scene: Scene) -> None:
    scene.github.fail("POST", "/pulls", 502)
    failed = await scene.run()
    assert failed.error is not None
    run = await scene.run(OTHER_EDIT, FINISH, labels=["polite"])
    repository = scene.github.repositories["acme/app"]
    assert_one(run, repository)
    assert run.requests == []
    (pull,) = repository.pulls
    assert pull["title"] == "Say goodbye"
    assert "- modified `src/app.py`" in pull["body"]
    assert pull["labels"] == ["polite"]


async def test_two_attempts_side_by_side_end_with_one_branch(scene: Scene) -> None:
    """The older one wakes up behind its commit, when the newer one has made the branch already."""
    whole = await scene.run()
    older = {name: kept for name, kept in whole.steps.items() if name not in ("branch", "pull request")}
    repository = scene.github.repositories["acme/app"]
    older["commit"] = repository.commit("Say goodbye\n\nelse", {"src/app.py": "x"}, repository.branches["main"])
    run = await scene.start(steps=older, attempt=2)
    assert_one(run, repository)
    assert run.result["commit"] == whole.result["commit"]


async def test_a_task_of_another_id_makes_another_branch(scene: Scene) -> None:
    first = await scene.run()
    clock = FakeClock()
    clock.advance(timedelta(days=1).total_seconds())
    second = await scene.start(clock=clock)
    branches, heads = effects(scene.github.repositories["acme/app"])
    assert branches == sorted(heads) == sorted([first.result["branch"], second.result["branch"]])
    assert len(set(branches)) == 2


@pytest.mark.parametrize("with_pull", [False, True])
async def test_a_branch_that_somebody_else_made_is_left_alone(scene: Scene, with_pull: bool) -> None:
    branch = (await scene.run()).result["branch"]
    theirs = scene.github.add("acme/theirs", dict(FILES))
    theirs.branches[branch] = theirs.commit("mine, not yours", {"a": "b"}, theirs.branches["main"])
    if with_pull:
        theirs.post(["pulls"], {"title": "t", "head": branch, "base": "main", "body": "by hand"})
    before = dict(theirs.branches), len(theirs.pulls)
    said = await scene.failure(repository="acme/theirs")
    assert f"a branch or pull request {branch} that this task did not make" in said
    assert (theirs.branches, len(theirs.pulls)) == before


async def test_a_branch_that_somebody_else_makes_meanwhile_is_left_alone(scene: Scene) -> None:
    whole = await scene.run()
    theirs = scene.github.add("acme/theirs", dict(FILES))
    steps = {name: whole.steps[name] for name in ("turn 1", "turn 1 used", "turn 2", "turn 2 used")}
    main = theirs.branches["main"]
    start = {"repository": "acme/theirs", "base": "main", "commit": main, "tree": theirs.commits[main]["tree"]}
    branch = whole.result["branch"]
    theirs.branches[branch] = theirs.branches["main"]
    said = await scene.failure(steps={**steps, "start": {**start, "found": None}}, repository="acme/theirs")
    assert "that this task did not make" in said
    assert theirs.branches[branch] == theirs.branches["main"]
    assert theirs.pulls == []


def test_a_branch_is_named_after_the_title_and_the_task() -> None:
    assert branch_of("Füge Grüße hinzu!", "aurea-0123456789abcdef") == "aurea/fuge-grue-hinzu-0123456789ab"
    assert branch_of("日本語", "aurea-0123456789abcdef") == "aurea/change-0123456789ab"
    long = branch_of("many words " * 20, "aurea-0123456789abcdef")
    assert long == "aurea/many-words-many-words-many-words-many-wo-0123456789ab"
