"""GitHub's REST API as its published description says, for what pull requests need: a real server on this machine.

    with fake_github() as fake:
        repository = fake.add("acme/app", {"README.md": "hello\n"})
        async with open_client([fake.host]) as client:
            run = await run_task(code_pr, {...}, http=client, config=fake.config)
        assert [pull["title"] for pull in repository.pulls] == ["Say goodbye"]
        assert fake.problems == []  # calls that GitHub would not understand

It is strict: an unknown path, a field that an endpoint does not take, or a missing one is answered as GitHub would and
stands in `problems`. `fail` scripts faults: `fake.fail("POST", "/git/refs", 502)` for the next call to that end of a
path, `done=True` to do the thing all the same; bytes are a body that is no JSON. `limit` answers as the rate limits do.
`fake.now` is its clock, which stands still; `asked` lists the calls that change something, `calls` all. Tokens: `TOKEN`
may write; `fake.app` makes it answer to a GitHub App, whose installation tokens are made at its own endpoint and expire
on that clock. A repository's traits (`archived`, `may_push`, `has_drafts`...) are plain fields to set.
"""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha1
from typing import Any, NoReturn

import jwt
import orjson
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.fakes.github_repository import Refusal, Repository

TOKEN = "ghp_canary0fYf2xQ9"
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DOCS = "https://docs.github.com/rest"
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@dataclass
class Fault:
    method: str
    end: str
    status: int
    body: Any
    headers: dict[str, str]
    times: int
    done: bool


@dataclass
class App:
    """A GitHub App with one installation."""

    id: str
    public_key: str
    installation_id: str = "77"
    lifetime_seconds: int = 3_600
    permissions: dict[str, str] = field(default_factory=lambda: {"contents": "write", "pull_requests": "write"})
    repositories: tuple[str, ...] = ("app",)


class FakeGitHub:
    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.moved: dict[str, str] = {}
        self.app: App | None = None
        self.now = START
        self.remaining = 5_000
        self.problems: list[str] = []
        self.calls: list[str] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.tokens: dict[str, float] = {TOKEN: float("inf")}
        """Every good token, and when it expires."""
        self.url = ""
        self._faults: list[Fault] = []
        self._archives: dict[str, tuple[Repository, str]] = {}

    @property
    def host(self) -> str:
        return self.url.partition("//")[2]

    @property
    def config(self) -> dict[str, str]:
        return {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": f"{self.url}/api"}

    def add(self, name: str, files: dict[str, Any], **traits: Any) -> Repository:
        """Make a repository with one commit. A file is its text, its bytes, or (mode, content)."""
        self.repositories[name.lower()] = Repository(name, self.url, files, **traits)
        return self.repositories[name.lower()]

    def fail(
        self,
        method: str,
        end: str,
        status: int,
        body: Any = None,
        *,
        times: int = 1,
        done: bool = False,
        **headers: str,
    ) -> None:
        """Answer the next calls to this end of a path with an error. A text as the body is GitHub's `message`."""
        said = body if body is not None else {500: "Server Error", 502: "Bad Gateway"}.get(status, "as the test says")
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"message": said, "documentation_url": DOCS, "status": str(status)} if isinstance(said, str) else said
        self._faults.append(Fault(method, end, status, body, spelled, times, done))

    def limit(self, method: str, end: str, status: int = 403, *, reset_in: int | None = None, **headers: str) -> None:
        """The primary limit, which resets in some seconds; without that the secondary one."""
        if reset_in is None:
            return self.fail(method, end, status, SECONDARY, **headers)
        said = "API rate limit exceeded for user ID 1."
        return self.fail(
            method, end, status, said, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(self.now) + reset_in)
        )

    def serve(self, request: Request) -> Response:
        try:
            return self._serve(request)
        except Exception as error:
            self.problems.append(f"{request.method} {request.path}: {error!r}")
            raise

    def _serve(self, request: Request) -> Response:
        path = request.path.removeprefix("/api")
        self.calls.append(f"{request.method} {path}")
        body = orjson.loads(request.data) if request.data else {}
        fault = next((f for f in self._faults if f.method == request.method and path.endswith(f.end)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
            if fault.done:
                self._answer(request, path, body)
            return self._json(fault.status, fault.body, fault.headers)
        try:
            return self._answer(request, path, body)
        except Refusal as refusal:
            return self._json(refusal.status, refusal.body)

    def _answer(self, request: Request, path: str, body: dict[str, Any]) -> Response:
        parts = path.strip("/").split("/")
        if request.method not in ("GET", "POST"):
            self._strange(request, "unknown method")
        match parts:
            case ["codeload", *_]:
                return self._archive(request)
            case ["rate_limit"]:
                return self._json(200, {"resources": {}})
            case ["app", *_]:
                return self._json(201, self._mint(request, parts, body))
            case ["repos", owner, name, *rest]:
                self._authenticate(request)
                return self._answer_for(request, f"{owner}/{name}".lower(), rest, body)
        return self._strange(request, "unknown path")

    def _answer_for(self, request: Request, name: str, rest: list[str], body: dict[str, Any]) -> Response:
        if name in self.moved:
            there = f"{self.url}/api/repos/{'/'.join([self.moved[name], *rest])}"
            said = {"message": "Moved Permanently", "url": there, "documentation_url": DOCS}
            return self._json(301, said, {"Location": there})
        repository = self.repositories.get(name)
        if repository is None:
            raise Refusal(404, "Not Found")
        if request.method == "POST":
            self.asked.append(("/".join(rest), body))
            self._check_body(request, rest, body)
            return self._json(*repository.post(rest, body))
        if rest[:1] == ["tarball"]:
            return self._redirect_to_archive(repository, rest[1])
        found = repository.get(rest, request.args.to_dict())
        return self._strange(request, "unknown path") if found is None else self._json(200, found)

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self.tokens.get(token, 0.0) <= self.now:
            raise Refusal(401, "Bad credentials")
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            self._strange(request, "no API version")

    def _mint(self, request: Request, parts: list[str], body: dict[str, Any]) -> dict[str, Any]:
        if request.method != "POST" or parts[1:2] != ["installations"] or parts[3:] != ["access_tokens"]:
            self._strange(request, "unknown path")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.app is None:
            raise Refusal(404, "Integration not found")
        try:
            # PyJWT would look at the real clock.
            claims = jwt.decode(
                token, self.app.public_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError:
            raise Refusal(401, "A JSON web token could not be decoded") from None
        if not claims["iat"] <= self.now < claims["exp"] <= self.now + 600:
            raise Refusal(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time")
        if claims["iss"] != self.app.id or parts[2] != self.app.installation_id:
            raise Refusal(404, "Not Found")
        if set(body) - {"repositories", "repository_ids", "permissions"}:
            self._strange(request, f"unknown fields in {body}")
        if not set(body.get("repositories", ())) <= set(self.app.repositories):
            raise Refusal(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            )
        made = f"ghs_canary{len(self.tokens)}Kx81"
        self.tokens[made] = self.now + self.app.lifetime_seconds
        expires = datetime.fromtimestamp(self.tokens[made], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"token": made, "expires_at": expires, "permissions": self.app.permissions}

    def _redirect_to_archive(self, repository: Repository, ref: str) -> Response:
        token = sha1(f"{repository.name}{len(self._archives)}".encode()).hexdigest()
        self._archives[token] = repository, ref
        there = f"{self.url}/codeload/{repository.name}/legacy.tar.gz/{ref}?token={token}"
        return Response(status=302, headers={"Location": there})

    def _archive(self, request: Request) -> Response:
        if "Authorization" in request.headers:
            self.problems.append("the archive's host was sent a token")
        held = self._archives.pop(request.args.get("token", ""), None)
        if held is None:
            return Response("404: Not Found", 404)
        repository, ref = held
        return Response(_packed(repository, ref), mimetype="application/x-gzip")

    def _check_body(self, request: Request, parts: list[str], body: dict[str, Any]) -> None:
        known = _FIELDS.get(parts[-1] if parts[0] in ("issues", "pulls") else "/".join(parts[:2]))
        if known is None:
            self._strange(request, "unknown path")
        required, optional = known
        if not required <= set(body) <= required | optional:
            self.problems.append(f"{request.path}: fields {sorted(body)}")
            raise Refusal(422, "Invalid request.")

    def _strange(self, request: Request, why: str) -> NoReturn:
        self.problems.append(f"{request.method} {request.path}: {why}")
        raise Refusal(404, "Not Found")

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
        self.remaining -= 1
        given = {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(int(self.now) + 3_600),
            "X-GitHub-Request-Id": f"C0DE:{len(self.calls)}",
        }
        spelled = {name.title(): value for name, value in (headers or {}).items()}
        known = {name.title(): value for name, value in given.items()}
        encoded = body if isinstance(body, bytes) else orjson.dumps(body)
        return Response(encoded, status, known | spelled, mimetype="application/json")


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """Serve on a free port until the block ends."""
    fake = FakeGitHub()

    class Handler(WSGIRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.fromtimestamp(fake.now, UTC), usegmt=True)

        def log_request(self, *_: Any) -> None:
            """Say nothing."""

    server = make_server("127.0.0.1", 0, Request.application(fake.serve), threaded=True, request_handler=Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "git/trees": ({"tree"}, {"base_tree"}),
    "git/blobs": ({"content"}, {"encoding"}),
    "git/commits": ({"message", "tree"}, {"parents", "author", "committer", "signature"}),
    "git/refs": ({"ref", "sha"}, set()),
    "pulls": ({"title", "head", "base"}, {"body", "draft", "maintainer_can_modify", "head_repo", "issue"}),
    "labels": ({"labels"}, set()),
    "requested_reviewers": (set(), {"reviewers", "team_reviewers"}),
}


def _packed(repository: Repository, ref: str) -> bytes:
    """The archive as GitHub packs it: all in one folder, without what .gitattributes excludes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for path, (mode, content) in sorted(repository.files_of(ref).items()):
            if path in repository.export_ignored or mode == "160000":
                continue
            member = tarfile.TarInfo(f"{repository.name.replace('/', '-')}-{ref[:7]}/{path}")
            if mode == "120000":
                member.type, member.linkname = tarfile.SYMTYPE, content.decode()
                archive.addfile(member)
            else:
                content = repository.export_changed.get(path, content)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
