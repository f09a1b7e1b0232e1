"""How to deploy by HTTP calls that the payload describes: requests with names in braces, and where their answers say
what.

Secrets are never here: a request names a variable of the worker, whose name has to start with DEPLOY_HOOK_.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from handlers.mrg_deploy import placeholders

Pointer = Annotated[str, Field(pattern=r"^(/([^~/]|~[01])*)*$", max_length=500)]
"""A JSON pointer (RFC 6901)."""
Words = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
Variable = Annotated[str, Field(pattern=r"^DEPLOY_HOOK_[A-Z0-9_]{1,80}$")]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e]*$")]

HOSTS_VARIABLE = "DEPLOY_HOOK_HOSTS"
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
_SENSITIVE = ("auth", "cookie", "token", "secret", "password", "api-key", "apikey", "access-key")


class Ask(BaseModel):
    """A request, and where its answer says what."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(pattern=r"^(https?://[^/]|\{secrets\.)", max_length=8_192)]
    headers: dict[HeaderName, HeaderValue] = {}

    @field_validator("headers")
    @classmethod
    def _may_be_set(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in _OURS:
                raise ValueError(f"{name} is set by the client itself")
            if any(word in name.lower() for word in _SENSITIVE) and "{secrets." not in value:
                raise ValueError(f"{name} carries a secret: name it under secrets, and write {{secrets.name}} here")
        return headers

    @property
    def texts(self) -> list[Any]:
        return [self.url, self.headers]

    @property
    def holds_secrets(self) -> bool:
        return any(name.startswith(placeholders.SECRETS) for name in placeholders.names(self.texts))


class Lookup(Ask):
    """A GET whose answer names a deployment."""

    id: Pointer
    """Where its id stands. A 404, or nothing there, says that there is none."""


class Trigger(Ask):
    """A request that begins something."""

    method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
    json_body: Annotated[Any, Field(alias="json")] = None
    id: Pointer | None = None
    """Where the answer names the deployment; without it, `{key}` is its id."""

    @property
    def texts(self) -> list[Any]:
        return [*super().texts, self.json_body]


class StatusLookup(Ask):
    """A GET that says how a deployment stands; `{deployment}` is its id."""

    state: Pointer
    live: Words = ["live"]
    failed: Words = ["failed"]
    cancelled: list[str] = []
    """Any other word: it is under way."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        words = [word.lower() for word in (*self.live, *self.failed, *self.cancelled)]
        if len(set(words)) != len(words):
            raise ValueError("a word has one meaning: live, failed or cancelled")
        return self


class Hook(BaseModel):
    """What to call, and when."""

    model_config = ConfigDict(extra="forbid")

    trigger: Trigger
    status: StatusLookup
    rollback: Trigger | None = None
    """Goes back to `{target}`; one that does not name it goes back to the deployment before by itself."""
    find: Lookup | None = None
    """Asked before anything is begun: what was begun under `{key}` before. For systems without idempotency keys."""
    current: Lookup | None = None
    """What is live now: what to go back to."""
    secrets: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Variable] = {}

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        if HOSTS_VARIABLE in self.secrets.values():
            raise ValueError(f"{HOSTS_VARIABLE} is no secret: it says where secrets may go")
        known = placeholders.KNOWN | {f"{placeholders.SECRETS}{name}" for name in self.secrets}
        asks = {"trigger": self.trigger, "status": self.status, "rollback": self.rollback}
        for where, ask in (asks | {"find": self.find, "current": self.current}).items():
            unknown = sorted(set(placeholders.names(ask.texts)) - known) if ask is not None else []
            if unknown:
                raise ValueError(f"{where} names {{{unknown[0]}}}; known are {', '.join(sorted(known))}")
        return self
