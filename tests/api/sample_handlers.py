"""A handler for the tests of the HTTP edge; it is found by AUREA_HANDLERS."""

from pydantic import BaseModel, ConfigDict

from orchestrator.sdk import task


class Greeting(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = "hello"
    times: int = 1


@task("greet", max_retries=2)
async def greet(payload: Greeting) -> str:
    """Say it as often as asked."""
    return payload.text * payload.times
