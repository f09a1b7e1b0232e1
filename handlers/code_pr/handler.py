"""code_pr: a model works on a copy of a repository, and its changes become one commit in one pull request.

The order of the steps is the handler's promise. First what an earlier attempt left on GitHub is looked for; then the
model works (nothing is written anywhere yet); then commit, branch, pull request, labels, reviewers, each of which
finds its former self. The base branch is only read.
"""

from typing import Any
from urllib.parse import quote

from handlers.code_pr.check import require_checks
from handlers.code_pr.checkout import take_copy
from handlers.code_pr.conversation import Conversation, Work
from handlers.code_pr.credentials import credentials_of
from handlers.code_pr.github import GitHub
from handlers.code_pr.payload import CodeChange
from handlers.code_pr.publication import Found, Publication
from handlers.code_pr.refusals import GitHubRefused
from handlers.code_pr.verification import verdict
from handlers.code_pr.words import Report, report_of, title_of
from orchestrator.sdk import Context, Terminal, task


@task("code_pr", max_retries=8, timeout_seconds=3_600)
async def code_pr(payload: CodeChange, ctx: Context) -> dict[str, Any]:
    """Have a model change a repository on GitHub, and open a pull request."""
    credentials = credentials_of(ctx.config)
    if payload.check is not None:
        require_checks(ctx.config)
    github = GitHub(ctx, credentials, payload.repository)
    start = await ctx.step("start", _start, ctx, github, payload, credentials.tells_permissions)
    name, found = start["repository"], start["found"]
    publication = Publication(ctx, github, payload, name)
    if found is not None and found["pull"] is not None:
        return {"outcome": "found", "repository": name, "branch": publication.branch, "pull_request": found["pull"]}
    if found is not None:  # a former life of this task got as far as its branch
        report = Report(found["title"], found["body"])
        return await _publish(ctx, publication, payload, start, report, {"commit": found["commit"]})

    copy = await take_copy(github, name, start["commit"], start["tree"], payload)
    work = await Conversation(ctx, payload, copy).hold(name, start["base"])
    changes = copy.changes()
    changed = [{"path": each.path, "change": each.kind} for each in changes]
    done = {"summary": work.summary, "changed": changed, **_used(work)}
    if not changes:
        return {"outcome": "unchanged", "repository": name, "pull_request": None, **done}
    title = title_of(payload.title or "", work.title, payload.instruction)
    check = _checked(payload, work)
    report = report_of(title, work.summary, changed, check)
    commit = await ctx.step("commit", publication.commit, start["commit"], start["tree"], changes, report)
    commit = await ctx.step("branch", publication.make_branch, commit)
    return await _publish(ctx, publication, payload, start, report, {"commit": commit, **done})


async def _start(ctx: Context, github: GitHub, payload: CodeChange, tells_permissions: bool) -> dict[str, Any]:
    """Return where the work starts, and what an earlier life of the task has made already."""
    repository = await github.get(f"repos/{payload.repository}", "read the repository", follow=True)
    name = repository["full_name"]
    for state in ("archived", "disabled"):
        if repository.get(state):
            raise Terminal(f"the repository {name} is {state}: nothing can be written there")
    if tells_permissions and not repository.get("permissions", {}).get("push", True):
        raise Terminal(
            f"the token of GITHUB_TOKEN may read {name} but not write there:"
            " give it contents=write and pull_requests=write"
        )
    base = payload.base or repository["default_branch"]
    start = {"repository": name, "base": base, "commit": None, "tree": None}
    found = await Publication(ctx, github, payload, name).find()
    if found is None:
        start |= await _read_base(github, name, base, repository["default_branch"])
        await ctx.log("starting", repository=name, base=base, commit=start["commit"])
    else:
        await ctx.log("found what this task made before", repository=name)
    return {**start, "found": found}


async def _read_base(github: GitHub, name: str, base: str, default: str) -> dict[str, str]:
    try:
        branch = await github.get(f"repos/{name}/branches/{quote(base)}", f"read the branch {base}", follow=True)
    except GitHubRefused as error:
        if error.status_code != 404:
            raise
        hint = f"the default branch is {default}" if base != default else "an empty repository needs a first commit"
        raise Terminal(f"{name} has no branch {base}: {hint}") from None
    return {"commit": branch["commit"]["sha"], "tree": branch["commit"]["commit"]["tree"]["sha"]}


async def _publish(
    ctx: Context, publication: Publication, payload: CodeChange, start: dict[str, Any], report: Report, done: Found
) -> dict[str, Any]:
    opened = await ctx.step("pull request", publication.open_pull, start["base"], report)
    pull, warnings = opened["pull"], opened["warnings"]
    if payload.labels:
        warnings += await ctx.step("labels", publication.label, pull["number"])
    if payload.reviewers:
        warnings += await ctx.step("reviewers", publication.ask_for_review, pull["number"])
    await ctx.progress(1.0, "pull request opened")
    return {
        "outcome": "opened",
        "repository": start["repository"],
        "branch": publication.branch,
        "pull_request": pull,
        "title": report.title,
        **done,
        "warnings": warnings,
    }


def _checked(payload: CodeChange, work: Work) -> str:
    """What the pull request says of the check: its verdict, without its output."""
    if payload.check is None or work.checked is None:
        return ""
    return verdict(payload.check, {**work.checked, "output": ""})


def _used(work: Work) -> dict[str, Any]:
    return {
        "turns": work.turns,
        "model": work.model,
        "usage": {"input_tokens": work.input_tokens, "output_tokens": work.output_tokens},
        "cost_usd": round(work.cost_usd, 9),
        "check": work.checked,
    }
