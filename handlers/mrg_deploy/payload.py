"""What a task of this type is asked for."""

from typing import Annotated, Any, Literal, Self

import httpx2
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from handlers.mrg_deploy.hook_payload import Hook

Id = Annotated[str, Field(min_length=1, max_length=200)]
Seconds = Annotated[float, Field(ge=1, le=600)]
Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=r"^[1-5]xx$")]

_ONLY_FOR_DEPLOY = ("commit", "ref", "image", "clear_cache")


class Deploy(BaseModel):
    """A deployment of one service, the way back to an earlier one, or a look at what runs."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["deploy", "rollback", "status"] = "deploy"
    provider: Literal["render", "hook"] = "render"
    service: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    """Render's id of it (`srv-...`); for a hook the name under which only one deploys at a time."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{7,64}$")] | None = None
    """Without commit and image: the newest of the service's branch."""
    ref: Annotated[str, Field(min_length=1, max_length=250)] | None = None
    """A branch or tag, for hooks."""
    image: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    clear_cache: bool = False
    deploy_timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 1_800.0
    """How long it may take until it is live; the same holds for a rollback."""
    poll_interval_seconds: Seconds = 10.0
    """Between the first looks; later ones are up to three times as far apart."""
    rollback_on_failure: bool = True
    rollback_to: Id | None = None
    """A deployment's id; without one, the one that was live before."""
    health_url: Annotated[str, Field(max_length=8_192)] | None = None
    health_status: Status = "2xx"
    health_tries: Annotated[int, Field(ge=1, le=1_000)] = 10
    health_interval_seconds: Seconds = 10.0
    health_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    hook: Hook | None = None

    @field_validator("health_url")
    @classmethod
    def _absolute(cls, text: str) -> str:
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL as error:
            raise ValueError(f"is not a URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ValueError("has to start with http:// or https:// and a host, and holds no password")
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.provider == "hook") != (self.hook is not None):
            raise ValueError('"hook" says how to deploy with the provider "hook", and belongs to no other')
        if self.provider == "render" and self.ref is not None:
            raise ValueError("Render deploys a commit or an image, not a ref")
        if self.commit is not None and self.image is not None:
            raise ValueError("a deployment is made of a commit or of an image, not of both")
        if self.action != "deploy":
            given = [name for name in _ONLY_FOR_DEPLOY if getattr(self, name)]
            if given:
                raise ValueError(f"{given[0]} is for the action deploy")
        return self

    @property
    def placeholders(self) -> dict[str, Any]:
        """What a hook's texts may name of this payload."""
        return {name: getattr(self, name) for name in ("service", *_ONLY_FOR_DEPLOY)}

    def is_healthy(self, status: int) -> bool:
        return str(self.health_status) in (str(status), f"{status // 100}xx")
