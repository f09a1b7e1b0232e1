"""From changes to a pull request: one commit, one branch, one pull request, whatever is cut short on the way.

Every act first finds what an earlier attempt has left. The branch's name comes from the task's id alone; a branch or
pull request of that name which does not carry the task's mark is somebody else's, and is left alone. No other branch
is ever written to.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from handlers.code_pr.github import GitHub
from handlers.code_pr.payload import CodeChange
from handlers.code_pr.refusals import GitHubRefused
from handlers.code_pr.words import Report, branch_of, commit_message, mark, pull_body, report_in, title_of
from handlers.code_pr.workspace import Change
from orchestrator.sdk import Context, Retry, Terminal

Found = dict[str, Any]


class Publication:
    """What a task makes in `name`, the repository as GitHub calls it today."""

    def __init__(self, ctx: Context, github: GitHub, payload: CodeChange, name: str) -> None:
        self._ctx = ctx
        self._github = github
        self._payload = payload
        self._name = name
        self.branch = branch_of(title_of(payload.title or "", payload.instruction), ctx.effect_key("branch"))

    async def find(self) -> Found | None:
        """Return what the task made before: its pull request, or its branch's commit when it got no further.

        Raises Terminal when somebody else made it.
        """
        pull = await self._find_pull()
        if pull is not None:
            return {"pull": pull}
        commit = await self._head()
        if commit is None:
            return None
        report = await self._report_in(commit)
        if report is None:
            raise self._not_ours()
        return {"pull": None, "commit": commit, "title": report.title, "body": report.body}

    async def commit(self, parent: str, tree: str, changes: Sequence[Change], report: Report) -> str:
        """Make the commit, which nothing refers to yet, and return its name."""
        made = await self._github.post(
            self._path("git/trees"), "write the files", {"base_tree": tree, "tree": [_entry(each) for each in changes]}
        )
        body = {"message": commit_message(report, self._ctx.task_id), "tree": made["sha"], "parents": [parent]}
        if self._payload.author is not None:
            body["author"] = self._payload.author.model_dump()
        commit = await self._github.post(self._path("git/commits"), "make the commit", body)
        await self._ctx.log("committed", files=len(changes), commit=commit["sha"])
        return str(commit["sha"])

    async def make_branch(self, commit: str) -> str:
        """Make the branch and return the commit it stands at: another one when another attempt was first."""
        try:
            await self._github.post(
                self._path("git/refs"), "make the branch", {"ref": f"refs/heads/{self.branch}", "sha": commit}
            )
        except GitHubRefused as error:
            if "already exists" not in error.said:
                raise
            head = await self._head()
            if head is None:
                raise Retry(f"the branch {self.branch} comes and goes") from None
            if head != commit and await self._report_in(head) is None:
                raise self._not_ours() from None
            return head
        await self._ctx.log("branch made", branch=self.branch)
        return commit

    async def open_pull(self, base: str, report: Report) -> Found:
        """Return the task's `pull`, opened now if there is none yet, and `warnings`."""
        pull = await self._find_pull()
        if pull is not None:
            return {"pull": pull, "warnings": []}
        try:
            made, warnings = await self._post_pull(base, report)
        except GitHubRefused as error:
            pull = await self._find_pull() if "already exists" in error.said else None
            if pull is None:
                raise
            return {"pull": pull, "warnings": []}
        await self._ctx.log("pull request opened", url=made["html_url"])
        return {"pull": _described(made), "warnings": warnings}

    async def label(self, number: int) -> list[str]:
        """Put the labels on and return what could not be done: the pull request stands all the same."""
        return await self._adorn(f"issues/{number}/labels", "put the labels on", {"labels": self._payload.labels})

    async def ask_for_review(self, number: int) -> list[str]:
        """As `label`, for the reviewers."""
        teams = [name.partition("/")[2] for name in self._payload.reviewers if "/" in name]
        users = [name for name in self._payload.reviewers if "/" not in name]
        body = {"reviewers": users, "team_reviewers": teams}
        return await self._adorn(f"pulls/{number}/requested_reviewers", "ask for a review", body)

    async def _adorn(self, path: str, doing: str, body: dict[str, Any]) -> list[str]:
        try:
            await self._github.post(self._path(path), doing, body)
        except GitHubRefused as error:
            if error.status_code == 401:
                raise
            await self._ctx.log(str(error), level="warning")
            return [str(error)]
        return []

    async def _post_pull(self, base: str, report: Report) -> tuple[Any, list[str]]:
        """Return the new pull request; not every repository has drafts, and none is no reason to lose the work."""
        body = {
            "title": report.title,
            "head": self.branch,
            "base": base,
            "body": pull_body(report, self._ctx.task_id),
            "draft": self._payload.draft,
        }
        path, doing = self._path("pulls"), "open the pull request"
        try:
            return await self._github.post(path, doing, body), []
        except GitHubRefused as error:
            if not (self._payload.draft and "Draft pull requests are not supported" in error.said):
                raise
            warning = "the repository has no drafts: the pull request is ready for review"
            return await self._github.post(path, doing, {**body, "draft": False}), [warning]

    async def _find_pull(self) -> Found | None:
        owner = self._name.partition("/")[0]
        params = {"head": f"{owner}:{self.branch}", "state": "all", "per_page": 10}
        pulls = await self._github.get(self._path("pulls"), "look for the pull request", params=params)
        pulls = [pull for pull in pulls if pull["head"]["ref"] == self.branch]
        for pull in pulls:
            if mark(self._ctx.task_id) in (pull["body"] or "") or await self._report_in(pull["head"]["sha"]):
                return _described(pull)
        if pulls:
            raise self._not_ours()
        return None

    async def _head(self) -> str | None:
        try:
            ref = await self._github.get(self._path(f"git/ref/heads/{quote(self.branch)}"), "look for the branch")
        except GitHubRefused as error:
            if error.status_code == 404:
                return None
            raise
        return str(ref["object"]["sha"])

    async def _report_in(self, commit: str) -> Report | None:
        found = await self._github.get(self._path(f"git/commits/{commit}"), "read the branch's commit")
        return report_in(found["message"], self._ctx.task_id)

    def _path(self, rest: str) -> str:
        return f"repos/{self._name}/{rest}"

    def _not_ours(self) -> Terminal:
        return Terminal(
            f"{self._name} has a branch or pull request {self.branch} that this task did not make:"
            " it stays as it is; remove it, or start the work as a new task"
        )


def _entry(change: Change) -> dict[str, Any]:
    """One line of the tree to be. GitHub makes the blob itself of a content that is text, in the same request."""
    if change.file is None:
        return {"path": change.path, "mode": "100644", "type": "blob", "sha": None}
    return {"path": change.path, "mode": change.file.mode, "type": "blob", "content": change.file.content.decode()}


def _described(pull: dict[str, Any]) -> Found:
    return {
        "number": pull["number"],
        "url": pull["html_url"],
        "state": "merged" if pull.get("merged_at") else pull["state"],
        "draft": bool(pull.get("draft")),
        "commit": pull["head"]["sha"],
        "base": pull["base"]["ref"],
    }
