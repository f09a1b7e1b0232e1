"""What GitHub may say to code_pr, and what becomes of the task then."""

from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.github import App
from tests.handlers.coder import EDIT, FINISH, Scene, open_scene, use

ALL_ENDS = [
    ("GET", "repos/acme/app"),
    ("GET", "/pulls"),
    ("GET", "/branches/main"),
    ("POST", "/git/trees"),
    ("POST", "/git/commits"),
    ("POST", "/git/refs"),
    ("POST", "/pulls"),
    ("POST", "/labels"),
]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        yield scene


@pytest.mark.parametrize(("method", "end"), ALL_ENDS)
async def test_a_limit_anywhere_is_waited_out_and_nothing_is_done_twice(scene: Scene, method: str, end: str) -> None:
    scene.github.limit(method, end, retry_after="37")
    limited = await scene.run(labels=["x"])
    assert limited.error is not None
    assert (limited.error.retryable, limited.retry_after_seconds) == (True, 37.0)
    assert "GitHub limits how often it may be asked" in limited.error.message
    run = await scene.start(steps=limited.steps, attempt=2, labels=["x"])
    assert run.result["outcome"] == "opened"
    assert len(scene.github.repositories["acme/app"].pulls) == 1


@pytest.mark.parametrize("status", [403, 429])
async def test_the_primary_limit_waits_for_its_reset_by_githubs_clock(scene: Scene, status: int) -> None:
    scene.github.now -= 86_400.0 * 365  # a worker's clock would not say so
    scene.github.limit("GET", "/pulls", status, reset_in=600)
    run = await scene.run()
    assert (run.error.retryable, run.retry_after_seconds) == (True, 601.0)


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_a_wait_until_a_date_is_counted_on_githubs_clock(scene: Scene, status: int) -> None:
    scene.github.now -= 86_400.0 * 365
    scene.github.limit("GET", "/pulls", status, retry_after=formatdate(scene.github.now + 90, usegmt=True))
    run = await scene.run()
    assert (run.error.retryable, run.retry_after_seconds) == (True, 90.0)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 60.0), (3, 240.0), (12, 3_600.0)])
async def test_a_secondary_limit_without_a_time_waits_longer_each_time(
    scene: Scene, attempt: int, seconds: float
) -> None:
    scene.github.limit("GET", "/pulls")
    run = await scene.start(attempt=attempt)
    assert (run.error.retryable, run.retry_after_seconds) == (True, seconds)


@pytest.mark.parametrize("status", [408, 500, 502, 503])
async def test_a_server_error_is_worth_a_retry(scene: Scene, status: int) -> None:
    scene.github.fail("POST", "/git/refs", status, retry_after="5")
    run = await scene.run()
    assert (run.error.retryable, run.retry_after_seconds) == (True, 5.0)
    assert f"could not make the branch: GitHub answered {status}" in run.error.message


async def test_a_conflict_is_worth_a_retry(scene: Scene) -> None:
    scene.github.fail("POST", "/git/refs", 409, "is at 1 but expected 2")
    assert (await scene.run()).error.retryable


async def test_an_answer_that_is_no_json_is_worth_a_retry(scene: Scene) -> None:
    scene.github.fail("GET", "repos/acme/app", 200, b"<html>hello</html>")
    run = await scene.run()
    assert run.error.retryable
    assert "is GITHUB_API_URL right?" in run.error.message


async def test_a_missing_token_names_the_variables_before_anything_is_asked(scene: Scene) -> None:
    said = await scene.failure(config={})
    assert "set GITHUB_TOKEN, or GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY, GITHUB_APP_INSTALLATION_ID" in said
    said = await scene.failure(config={"GITHUB_APP_ID": "1", "GITHUB_APP_INSTALLATION_ID": "2"})
    assert said.startswith("set GITHUB_APP_PRIVATE_KEY ")
    assert scene.github.calls == []


async def test_a_wrong_token_is_terminal(scene: Scene) -> None:
    said = await scene.failure(config={**scene.github.config, "GITHUB_TOKEN": "ghp_wrong"})
    assert said.endswith("GitHub answered 401: Bad credentials. The token is wrong or has expired: set GITHUB_TOKEN, "
                         "or the three of the GitHub App, anew")  # fmt: skip
    assert "ghp_wrong" not in said


async def test_a_token_that_may_only_read_is_told_before_a_model_is_asked(scene: Scene) -> None:
    scene.github.repositories["acme/app"].may_push = False
    run = await scene.run()
    assert "may read acme/app but not write there: give it contents=write" in run.error.message
    assert run.requests == []


async def test_an_archived_repository_is_told_before_a_model_is_asked(scene: Scene) -> None:
    scene.github.repositories["acme/app"].archived = True
    run = await scene.run()
    assert "acme/app is archived" in run.error.message
    assert run.requests == []


async def test_an_unknown_repository_is_terminal(scene: Scene) -> None:
    assert "It does not exist, or the token may not see it" in await scene.failure(repository="acme/none")


async def test_a_missing_base_branch_names_the_default(scene: Scene) -> None:
    assert await scene.failure(base="nope") == "acme/app has no branch nope: the default branch is main"
    scene.github.add("acme/empty", {})
    assert "an empty repository needs a first commit" in await scene.failure(repository="acme/empty")


REFUSED: list[tuple[str, str, int, Any, dict[str, str], str]] = [
    ("POST", "/git/trees", 403, "Resource not accessible by personal access token",
     {"x_accepted_github_permissions": "contents=write"}, "it needs contents=write"),
    ("POST", "/git/refs", 404, "Not Found", {}, "it needs contents=write,pull_requests=write"),
    ("GET", "/branches/main", 403, "Resource not accessible by integration", {},
     "it needs contents=write,pull_requests=write on"),
    ("GET", "repos/acme/app", 403, "Resource protected by organization SAML enforcement.",
     {"x_github_sso": "required; url=https://github.com/orgs/acme/sso?authorization_request=1"}, "single sign-on"),
    ("POST", "/git/refs", 403, "Repository was archived so is read-only.", {}, "unarchive it first"),
    ("POST", "/git/refs", 422, "Repository rule violations found\n\nCannot create ref due to creations being"
     " restricted.", {}, "allow it branches under aurea/"),
    ("POST", "/git/refs", 422, "Reference update failed", {}, "allow it branches under aurea/"),
    ("GET", "/git/trees/", 409, "Git Repository is empty.", {}, "Git Repository is empty."),
    ("POST", "/pulls", 422, {"message": "Validation Failed", "errors": [
        {"resource": "PullRequest", "field": "base", "code": "invalid"}, "odd"]}, {},
     "could not open the pull request: GitHub answered 422: Validation Failed; PullRequest base invalid; odd"),
    ("POST", "/pulls", 451, "Repository access blocked", {}, "GitHub answered 451: Repository access blocked"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "end", "status", "body", "headers", "expected"), REFUSED)
async def test_a_refusal_is_terminal_and_says_what_to_do(
    scene: Scene, method: str, end: str, status: int, body: Any, headers: dict[str, str], expected: str
) -> None:
    if end == "/git/trees/":
        repository = scene.github.repositories["acme/app"]
        end += repository.commits[repository.branches["main"]]["tree"]
    scene.github.fail(method, end, status, body, **headers)
    assert expected in await scene.failure()


async def test_a_base_branch_that_went_away_meanwhile_is_terminal(scene: Scene) -> None:
    repository = scene.github.repositories["acme/app"]
    first = await scene.run()
    steps = {name: kept for name, kept in first.steps.items() if name != "pull request"}
    repository.pulls.clear()
    repository.branches["trunk"] = repository.branches.pop("main")
    assert "PullRequest base invalid" in await scene.failure(steps=steps)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.fixture
def app(scene: Scene, key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The configuration of a GitHub App; its key stands in one line, as variables often hold it."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    scene.github.app = App("4711", public.decode())
    scene.github.tokens.clear()
    return {
        "GITHUB_APP_ID": "4711",
        "GITHUB_APP_PRIVATE_KEY": pem.decode().replace("\n", "\\n"),
        "GITHUB_APP_INSTALLATION_ID": "77",
        "GITHUB_API_URL": scene.github.config["GITHUB_API_URL"],
    }


def minted(scene: Scene) -> int:
    return scene.github.calls.count("POST /app/installations/77/access_tokens")


@pytest.fixture(autouse=True)
def _no_kept_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.code_pr.credentials._minted", {})


async def test_an_app_asks_for_one_token_and_keeps_it(scene: Scene, app: dict[str, str]) -> None:
    scene.github.now += 86_400.0 * 400  # GitHub's clock decides, not the worker's
    run = await scene.run(config=app)
    assert run.result["outcome"] == "opened"
    assert (await scene.run(config=app)).result["outcome"] == "found"
    assert minted(scene) == 1
    told = repr((run.result, run.logs, run.steps, run.requests, scene.github.asked))
    assert not any(token in told for token in scene.github.tokens)
    assert "BEGIN" not in told


async def test_an_apps_token_is_renewed_before_it_expires(scene: Scene, app: dict[str, str]) -> None:
    scene.github.app.lifetime_seconds = 299
    run = await scene.run(use("list_files"), FINISH, config=app)
    assert run.result["outcome"] == "unchanged"
    assert minted(scene) > 2


async def test_an_apps_token_that_github_refuses_is_renewed_once(scene: Scene, app: dict[str, str]) -> None:
    scene.github.fail("POST", "/git/refs", 401, "Bad credentials")
    assert (await scene.run(config=app)).result["outcome"] == "opened"
    assert minted(scene) == 2
    scene.github.add("acme/other", {"src/app.py": "'hello'"})
    scene.github.app.repositories = ("app", "other")
    scene.github.fail("POST", "/git/refs", 401, "Bad credentials", times=2)
    assert "Bad credentials" in await scene.failure(config=app, repository="acme/other")


async def test_an_app_without_the_permission_is_told_before_a_model_is_asked(scene: Scene, app: dict[str, str]) -> None:
    scene.github.app.permissions = {"contents": "write", "pull_requests": "read"}
    run = await scene.run(config=app)
    assert "the GitHub App 4711 has not the permission to write pull_requests" in run.error.message
    assert run.requests == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"GITHUB_APP_PRIVATE_KEY": "nonsense"}, "GITHUB_APP_PRIVATE_KEY is not an RSA private key in PEM form"),
        ({"GITHUB_APP_ID": "4712"}, "correct GITHUB_APP_INSTALLATION_ID"),
        ({"GITHUB_APP_INSTALLATION_ID": "78"}, "the app 4711 has no installation 78"),
    ],
)
async def test_an_app_that_is_set_up_wrongly_says_which_variable(
    scene: Scene, app: dict[str, str], change: dict[str, str], expected: str
) -> None:
    assert expected in await scene.failure(config={**app, **change})


async def test_an_apps_wrong_key_and_a_foreign_repository_are_terminal(scene: Scene, app: dict[str, str]) -> None:
    scene.github.app.repositories = ("else",)
    assert "the installation 77 does not include acme/app: add it there" in await scene.failure(config=app)
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key()
    scene.github.app.public_key = other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    assert "GITHUB_APP_PRIVATE_KEY does not belong to the app 4711" in await scene.failure(EDIT, FINISH, config=app)


async def test_a_limit_on_tokens_is_waited_out(scene: Scene, app: dict[str, str]) -> None:
    scene.github.limit("POST", "/access_tokens", retry_after="12")
    run = await scene.run(config=app)
    assert (run.error.retryable, run.retry_after_seconds) == (True, 12.0)
