"""gen_content: a document written by a model, from a prompt or a named template, stored in the bucket `content`.

The model is asked in one durable step and the document has one name, so however often the task is cut and tried again,
one answer makes the document, and one document stands there.
"""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from handlers.gen_content.answer import CONTENT_TYPES, ENDINGS, INSTRUCTIONS, Document, Output
from handlers.gen_content.library import FOLDER_VARIABLE, find, front_of_built_in
from orchestrator.sdk import Context, Message, ModelRequest, OnBudget, Provider, task

Words = Annotated[str, Field(pattern=r"\S")]


class GenContent(BaseModel):
    """What to write, by whom, and for how much at most."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    prompt: Words | None = None
    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] | None = Field(None, validate_default=True)
    """Instead of a prompt: article, faq, documentation, summary, social_post, email, or one of your own."""
    variables: dict[str, JsonValue] = Field({}, validate_default=True)
    """What the template declares."""
    system: Words | None = None
    """Instead of the template's."""
    provider: Provider = "auto"
    """`auto` follows the configured chain."""
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=200_000)] = 4096
    """Of the answer."""
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """What this task may spend in all, over every attempt."""
    on_budget: OnBudget = "fail"
    """Over the budget: fail for good, or wait for the next day (UTC)."""
    json_schema: dict[str, JsonValue] | None = Field(None, alias="schema")
    """Of the answer, for the output json."""
    output: Output = Field("markdown", validate_default=True)
    # Counted in the pattern, 200 characters of Unicode would take 18 MB of every process.
    name: Annotated[str, Field(max_length=200, pattern=r"^[\p{L}\p{N}][^\p{C}\p{Zl}\p{Zp}/\\]*$")] | None = None
    """What the document is called; by default like the template, with the output's ending."""

    @field_validator("template")
    @classmethod
    def _instead_of_a_prompt(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "prompt" in info.data and (value is None) == (info.data["prompt"] is None):
            raise ValueError("give either a prompt or the name of a template")
        return value

    @field_validator("variables")
    @classmethod
    def _as_the_template_declares(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Templates of the user's own are only where the workers are: there they are checked."""
        template = info.data.get("template")
        if template is None and given and info.data.get("prompt") is not None:
            raise ValueError("variables belong to a template, and a prompt is sent as it is: leave them out")
        front = front_of_built_in(template) if template is not None else None
        faults = list(front.faults(given)) if front else []
        if faults:
            errors = [
                InitErrorDetails(type=PydanticCustomError("variable", "{why}", {"why": why}), loc=(name,), input=given)
                for name, why in faults
            ]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return given

    @field_validator("model")
    @classmethod
    def _of_a_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("provider") == "auto":
            raise ValueError('name the provider of the model too: with "auto" the configured chain decides')
        return value

    @field_validator("output")
    @classmethod
    def _json_by_a_schema(cls, value: Output, info: ValidationInfo) -> Output:
        schema = info.data.get("json_schema")
        if value == "json" and not schema and "json_schema" in info.data:
            raise ValueError('give the JSON Schema of the answer as "schema"')
        if value != "json" and schema is not None:
            raise ValueError('a schema is for the output "json"')
        return value


@task("gen_content")
async def gen_content(payload: GenContent, ctx: Context) -> dict[str, Any]:
    """Write a document with a model, from a prompt or a template, and store it."""
    request = await asyncio.to_thread(compose, payload, ctx.config.get(FOLDER_VARIABLE))
    reply = await ctx.generate("answer", request)
    document = Document.of(reply, payload.output)
    name = payload.name or f"{payload.template or 'content'}.{ENDINGS[payload.output]}"
    content_type = CONTENT_TYPES[payload.output]
    artifact = await ctx.artifact(name, document.stored, content_type=content_type, bucket="content")
    if document.is_truncated:
        await ctx.log(f"the answer was cut off after {reply.usage.output_tokens} tokens", level="warning")
    return document.result | {
        "provider": reply.provider,
        "model": reply.model,
        "usage": asdict(reply.usage),
        "cost_usd": reply.cost_usd,
        "artifact": asdict(artifact),
    }


def compose(payload: GenContent, folder: str | None) -> ModelRequest:
    """Return what the model is asked. Raises Terminal for a template that is not there or does not fit."""
    prompt, system = payload.prompt or "", payload.system
    if payload.template is not None:
        template = find(payload.template, folder)
        prompt, system = template.prompt(payload.variables), system or template.front.system
    parts = [part for part in (system, INSTRUCTIONS[payload.output]) if part]
    return ModelRequest(
        messages=(Message("user", prompt),),
        system="\n\n".join(parts) or None,
        provider=payload.provider,
        model=payload.model,
        max_tokens=payload.max_tokens,
        schema=payload.json_schema,
        max_cost_usd=payload.max_cost_usd,
        on_budget=payload.on_budget,
    )
