"""What code_pr writes on GitHub: the branch's name, the commit's words, the pull request's, and the marks by which a
later attempt knows them for its own.
"""

import re
from dataclasses import dataclass
from unicodedata import normalize

LONGEST_TITLE = 200
LONGEST_SUMMARY = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, as commit and pull request tell it."""

    title: str
    body: str


def branch_of(title: str, effect_key: str) -> str:
    """Return the task's branch: readable, and no other task's."""
    plain = normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"aurea/{slug or 'change'}-{effect_key.rpartition('-')[2][:12]}"


def title_of(*candidates: str) -> str:
    """Return the first candidate that has words, as one line."""
    for candidate in candidates:
        line = next((" ".join(line.split()) for line in candidate.splitlines() if line.strip()), "")
        if line:
            return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"
    return "Change"


def report_of(title: str, summary: str, changed: list[dict[str, str]], check: str) -> Report:
    # A comment in the summary could pass for a mark of ours.
    summary = summary.strip().replace("<!--", "&lt;!--")[:LONGEST_SUMMARY]
    parts = [summary] if summary else []
    parts.append("\n".join(["Changed files:", *(f"- {each['change']} `{each['path']}`" for each in changed)]))
    if check:
        parts.append(check)
    return Report(title, "\n\n".join(parts))


def commit_message(report: Report, task_id: str) -> str:
    return f"{report.title}\n\n{report.body}\n\n{_trailer(task_id)}\n"


def report_in(message: str, task_id: str) -> Report | None:
    """Return the report of a commit message, or None when the commit is not this task's."""
    text, found, _ = message.partition(_trailer(task_id))
    if not found:
        return None
    title, _, body = text.strip().partition("\n")
    return Report(title, body.strip())


def pull_body(report: Report, task_id: str) -> str:
    note = f"Made by a model, in the task {task_id}. Review it as you would anyone's."
    return f"{report.body}\n\n---\n{note}\n\n{mark(task_id)}"


def mark(task_id: str) -> str:
    """Return what stands unseen in the pull request's body."""
    return f"<!-- aurea-task: {task_id} -->"


def _trailer(task_id: str) -> str:
    return f"Aurea-Task: {task_id}"
