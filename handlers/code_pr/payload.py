"""The payload of code_pr: which repository, what to do there, and within which limits."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from handlers.code_pr.bounds import check_glob
from orchestrator.sdk import OnBudget, Provider

MIB = 2**20

_NOT_IN_A_BRANCH = re.compile(r"[\s~^:?*\[\\\x00-\x1f\x7f]|\.\.|//|@\{|^[-/]|/$|\.lock$")

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n\x00]+$")]
Label = Annotated[str, Field(min_length=1, max_length=50)]
Reviewer = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?$")]


class Author(BaseModel):
    """Whom the commit names. Without one it is whoever the token belongs to, and GitHub signs for an app."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    email: Annotated[str, Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$", max_length=254)]


class CodeChange(BaseModel):
    """What to change, and how far it may go."""

    model_config = ConfigDict(extra="forbid")

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}$")]
    """`owner/name`."""
    instruction: Annotated[str, Field(min_length=1, max_length=20_000)]
    base: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The branch to start from and to ask to merge into; the repository's default branch without it."""
    paths: Annotated[list[str], Field(max_length=50)] = []
    """Globs that bound what the model may read and change; all without them. `*` stays in a folder, `**` does not."""

    title: Line | None = None
    """Of the pull request; the model writes one without it."""
    draft: bool = False
    labels: Annotated[list[Label], Field(max_length=20)] = []
    reviewers: Annotated[list[Reviewer], Field(max_length=15)] = []
    """Users by their login, teams as `organization/team`."""
    author: Author | None = None

    provider: Provider = "auto"
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=256, le=128_000)] = 8_192
    """Of one answer of the model."""
    max_turns: Annotated[int, Field(ge=1, le=200)] = 40
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    on_budget: OnBudget = "fail"

    max_files: Annotated[int, Field(ge=1, le=20_000)] = 3_000
    """How many files the working copy may hold, of those inside `paths`."""
    max_bytes: Annotated[int, Field(ge=1, le=100 * MIB)] = 20 * MIB
    """And how much."""
    max_changed_files: Annotated[int, Field(ge=1, le=300)] = 50

    check: Annotated[list[Annotated[str, Field(max_length=4_096)]], Field(min_length=1, max_length=50)] | None = None
    """A command and its arguments, run in the working copy: `["pytest", "-q"]`."""
    check_timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 300.0
    check_memory_mb: Annotated[int, Field(ge=32, le=65_536)] = 1_024
    """For each process of the check."""

    @field_validator("repository")
    @classmethod
    def _a_name(cls, repository: str) -> str:
        if repository.partition("/")[2] in (".", ".."):
            raise ValueError("is not the name of a repository")
        return repository

    @field_validator("base")
    @classmethod
    def _a_branch(cls, name: str | None) -> str | None:
        if name is not None and _NOT_IN_A_BRANCH.search(name):
            raise ValueError("is not the name of a branch")
        return name

    @field_validator("paths")
    @classmethod
    def _globs(cls, paths: list[str]) -> list[str]:
        for glob in paths:
            check_glob(glob)
        return paths

    @model_validator(mode="after")
    def _a_model_needs_its_provider(self) -> Self:
        if self.model is not None and self.provider == "auto":
            raise ValueError("a model needs its provider: set provider too, or leave model out")
        return self
