"""One repository of the fake GitHub: git's objects, its branches and its pull requests, with GitHub's refusals."""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

DOCS = "https://docs.github.com/rest"

Files = dict[str, tuple[str, bytes]]
"""Of a commit, by path: mode and content."""


class Refusal(Exception):
    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        self.status = status
        self.body: dict[str, Any] = {"message": message, "documentation_url": DOCS, "status": str(status)}
        if errors:
            self.body["errors"] = list(errors)


def invalid(resource: str, **error: str) -> Refusal:
    return Refusal(422, "Validation Failed", {"resource": resource, **error})


@dataclass
class Repository:
    name: str
    url: str
    files: dict[str, Any]
    default_branch: str = "main"
    archived: bool = False
    may_push: bool = True
    truncated: bool = False
    has_drafts: bool = True
    collaborators: tuple[str, ...] = ("ada", "grace")
    export_ignored: tuple[str, ...] = ()
    export_changed: dict[str, bytes] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    trees: dict[str, Files] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.files:
            self.branches[self.default_branch] = self.commit("first", self.files)

    def commit(self, message: str, files: dict[str, Any], *parents: str) -> str:
        """Record a commit of these files, all there are, and return its name."""
        held: Files = {}
        for path, file in files.items():
            mode, content = file if isinstance(file, tuple) else ("100644", file)
            held[path] = mode, content.encode() if isinstance(content, str) else content
        return self._commit(message, self._tree(held), list(parents), None)

    def files_of(self, ref: str) -> Files:
        return self.trees[self.commits[self.branches.get(ref, ref)]["tree"]]

    def text_of(self, ref: str, path: str) -> str:
        return self.files_of(ref)[path][1].decode()

    def get(self, parts: list[str], query: dict[str, str]) -> Any:
        """Return what stands at a path below the repository; None when GitHub has no such path."""
        match parts:
            case []:
                return self._described()
            case ["branches", *name]:
                return self._branch("/".join(name))
            case ["git", "trees", sha]:
                return self._listed(sha, query)
            case ["git", "blobs", sha]:
                content = self._held(self.blobs, sha)
                text = b64encode(content).decode()
                lines = "".join(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60))
                return {"sha": sha, "size": len(content), "encoding": "base64", "content": lines}
            case ["git", "commits", sha]:
                held = self._held(self.commits, sha)
                return {**held, "sha": sha, "tree": {"sha": held["tree"]}}
            case ["git", "ref", "heads", *name]:
                branch = "/".join(name)
                return _ref(branch, self._held(self.branches, branch))
            case ["pulls"]:
                return self._found_pulls(query)
        return None

    def post(self, parts: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        if self.archived:
            raise Refusal(403, "Repository was archived so is read-only.")
        if not self.may_push:
            raise Refusal(403, "Resource not accessible by personal access token")
        match parts:
            case ["git", "blobs"]:
                encoding = body.get("encoding", "utf-8")
                content = b64decode(body["content"]) if encoding == "base64" else body["content"].encode()
                return 201, {"sha": self._blob(content)}
            case ["git", "trees"]:
                return 201, {"sha": self._changed_tree(body)}
            case ["git", "commits"]:
                return 201, self._new_commit(body)
            case ["git", "refs"]:
                return 201, self._new_branch(body)
            case ["pulls"]:
                return 201, self._new_pull(body)
            case ["issues", number, "labels"]:
                pull = self._pull(number)
                pull["labels"] = list(dict.fromkeys([*pull["labels"], *body["labels"]]))
                return 200, [{"name": name} for name in pull["labels"]]
            case ["pulls", number, "requested_reviewers"]:
                return 201, self._request_review(self._pull(number), body)
        raise Refusal(404, "Not Found")

    def _described(self) -> dict[str, Any]:
        owner, _, name = self.name.partition("/")
        return {
            "name": name,
            "full_name": self.name,
            "owner": {"login": owner},
            "default_branch": self.default_branch,
            "archived": self.archived,
            "disabled": False,
            "permissions": {"admin": False, "push": self.may_push, "pull": True},
        }

    def _branch(self, name: str) -> dict[str, Any]:
        if name not in self.branches:
            raise Refusal(404, "Branch not found")
        sha = self.branches[name]
        tree = {"sha": self.commits[sha]["tree"]}
        return {"name": name, "commit": {"sha": sha, "commit": {"tree": tree}}, "protected": True}

    def _listed(self, sha: str, query: dict[str, str]) -> dict[str, Any]:
        if "recursive" not in query:
            raise AssertionError("the fake lists trees with recursive only")
        entries: list[dict[str, Any]] = []
        folders: set[str] = set()
        for path, (mode, content) in sorted(self._held(self.trees, sha).items()):
            parts = path.split("/")
            for folder in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
                if folder not in folders:
                    folders.add(folder)
                    entries.append({"path": folder, "mode": "040000", "type": "tree", "sha": _name("tree", folder)})
            if mode == "160000":
                entries.append({"path": path, "mode": mode, "type": "commit", "sha": "5" * 40})
            else:
                size = len(content)
                entries.append({"path": path, "mode": mode, "type": "blob", "sha": self._blob(content), "size": size})
        return {"sha": sha, "tree": entries, "truncated": self.truncated}

    def _changed_tree(self, body: dict[str, Any]) -> str:
        files = dict(self._held(self.trees, body["base_tree"])) if "base_tree" in body else {}
        for entry in body["tree"]:
            path = entry["path"]
            if entry["mode"] not in ("100644", "100755") or entry["type"] != "blob":
                raise Refusal(422, "Must supply a valid tree.mode")
            if path.startswith("/") or {"", ".", "..", ".git"} & set(path.lower().split("/")):
                raise Refusal(422, f"tree.path contains a malformed path component: {path}")
            if "content" in entry:
                files[path] = entry["mode"], entry["content"].encode()
            elif entry["sha"] is not None:
                files[path] = entry["mode"], self._held(self.blobs, entry["sha"])
            elif files.pop(path, None) is None:
                raise Refusal(422, "GitRPC::BadObjectState")
        return self._tree(files)

    def _new_commit(self, body: dict[str, Any]) -> dict[str, Any]:
        self._held(self.trees, body["tree"])
        for parent in body.get("parents", ()):
            self._held(self.commits, parent)
        sha = self._commit(body["message"], body["tree"], list(body.get("parents", ())), body.get("author"))
        return {"sha": sha, "message": body["message"], "tree": {"sha": body["tree"]}}

    def _new_branch(self, body: dict[str, Any]) -> dict[str, Any]:
        if not body["ref"].startswith("refs/heads/"):
            raise Refusal(422, "Reference name must start with 'refs/' and have at least two slashes.")
        branch = body["ref"].removeprefix("refs/heads/")
        if branch in self.branches:
            raise Refusal(422, "Reference already exists")
        if body["sha"] not in self.commits:
            raise Refusal(422, "Object does not exist")
        self.branches[branch] = body["sha"]
        return _ref(branch, body["sha"])

    def _new_pull(self, body: dict[str, Any]) -> dict[str, Any]:
        owner = self.name.partition("/")[0]
        for side in ("base", "head"):
            if body[side] not in self.branches:
                raise invalid("PullRequest", field=side, code="invalid")
        if body.get("draft") and not self.has_drafts:
            raise Refusal(422, "Draft pull requests are not supported in this repository.")
        if any(p["head"]["ref"] == body["head"] and p["state"] == "open" for p in self.pulls):
            said = f"A pull request already exists for {owner}:{body['head']}."
            raise invalid("PullRequest", code="custom", message=said)
        if self.branches[body["head"]] == self.branches[body["base"]]:
            said = f"No commits between {body['base']} and {body['head']}"
            raise invalid("PullRequest", code="custom", message=said)
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "html_url": f"https://github.com/{self.name}/pull/{number}",
            "state": "open",
            "merged_at": None,
            "draft": body.get("draft", False),
            "title": body["title"],
            "body": body.get("body"),
            "head": {"ref": body["head"], "sha": self.branches[body["head"]]},
            "base": {"ref": body["base"]},
            "labels": [],
            "reviewers": [],
        }
        self.pulls.append(pull)
        return pull

    def _found_pulls(self, query: dict[str, str]) -> list[dict[str, Any]]:
        owner = self.name.partition("/")[0]
        state, head = query.get("state", "open"), query.get("head")
        found = [pull for pull in reversed(self.pulls) if state in ("all", pull["state"])]
        return [pull for pull in found if head in (None, f"{owner}:{pull['head']['ref']}")]

    def _request_review(self, pull: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        asked = [*body.get("reviewers", ()), *body.get("team_reviewers", ())]
        if not set(asked) <= set(self.collaborators):
            raise Refusal(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is"
                f" not a collaborator of the {self.name} repository.",
            )
        pull["reviewers"] = asked
        return pull

    def _pull(self, number: str) -> dict[str, Any]:
        if not number.isdigit() or not 0 < int(number) <= len(self.pulls):
            raise Refusal(404, "Not Found")
        return self.pulls[int(number) - 1]

    def _held(self, kept: dict[str, Any], sha: str) -> Any:
        if sha not in kept:
            raise Refusal(404, "Not Found")
        return kept[sha]

    def _commit(self, message: str, tree: str, parents: list[str], author: dict[str, str] | None) -> str:
        sha = _name("commit", f"{self.name} {len(self.commits)} {message}")
        self.commits[sha] = {"message": message, "tree": tree, "parents": parents, "author": author}
        return sha

    def _tree(self, files: Files) -> str:
        sha = _name("tree", repr(sorted(files.items())))
        self.trees[sha] = files
        return sha

    def _blob(self, content: bytes) -> str:
        sha = sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self.blobs[sha] = content
        return sha


def _name(kind: str, content: str) -> str:
    return sha1(f"{kind}\0{content}".encode()).hexdigest()


def _ref(branch: str, sha: str) -> dict[str, Any]:
    return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": sha}}
