"""The options of `@task`, checked when the module is imported."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.domain.priority import LOWEST, MOST_URGENT

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Options(BaseModel):
    """What `@task` was given; None leaves it to the system."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
    max_retries: Annotated[int, Field(ge=0, le=1000)] | None
    timeout_seconds: _Seconds | None
    retry_base_seconds: _Seconds
    retry_cap_seconds: _Seconds
    isolation: Literal["process"] | None
    memory_mb: Annotated[int, Field(gt=0)] | None
    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None
    priority: Annotated[int, Field(ge=MOST_URGENT, le=LOWEST)] | None
    check: Callable[..., Any] | None

    @model_validator(mode="after")
    def _memory_needs_a_process(self) -> Self:
        if self.memory_mb is not None and self.isolation is None:
            raise ValueError('memory_mb needs isolation="process": only a process of its own can be limited')
        return self


def check_options(**given: Any) -> Options:
    """Raises TypeError or ValueError with a sentence."""
    if callable(given["name"]):
        raise TypeError('write @task("name"): the name of the task type comes first')
    try:
        return Options(**given)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors()]
        raise ValueError(f"@task({given['name']!r}): {'; '.join(problems)}") from None
