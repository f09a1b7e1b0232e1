"""aurea_action: a workflow of steps, each of which is a task of its own. How one is written: docs/handlers/.

The steps are child tasks, so any worker runs them, and this one waits for them without holding a worker. An attempt
starts from the top and comes by the same children: what has ended answers at once.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from orchestrator.sdk import Call, ChildFailed, Context, Handler, Issue, Terminal, task

if TYPE_CHECKING:
    from orchestrator.sdk.workflow import Answer, Begun, Course

_TURNS = 4

Written = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "An object with steps, maybe name, inputs, outputs and more; or a text of it, YAML or JSON",
            "type": ["object", "string"],
            "required": ["steps"],
        }
    ),
]


class Action(BaseModel):
    """The workflow, and the values of its inputs."""

    model_config = ConfigDict(extra="forbid")

    workflow: Written
    inputs: dict[str, Any] = {}


class WorkflowFailed(Terminal):
    """A step without continue_on_error failed. It used up its retries, so another attempt would meet the same end."""


def check(payload: Action, types: Mapping[str, Handler]) -> list[Issue]:
    """Return all that is wrong with the workflow, its steps' payloads included, and with the inputs."""
    from orchestrator.sdk.workflow import check_payload

    return check_payload(payload.model_dump(), types)


@task("aurea_action", check=check)
async def aurea_action(payload: Action, ctx: Context) -> dict[str, Any]:
    """Run a workflow of steps, each a task of its own."""
    course = _course(payload, ctx)
    await _follow(course, ctx)
    await ctx.progress(1.0, course.standing)
    if course.failed:
        told = [f"{step.name}: {(end.error or {}).get('message')}" for step, end in course.failed]
        raise WorkflowFailed(f"{len(told)} of {len(course.ended)} steps failed; {'; '.join(told)}")
    return {"outputs": _outputs(course), "steps": course.statuses}


def _course(payload: Action, ctx: Context) -> "Course":
    """Raises Terminal for what was found good when it was submitted, and is not for this version of the handler."""
    from orchestrator.sdk.workflow import Course, fill, read

    reading = read(payload.workflow)
    issues = list(reading.issues)
    inputs: dict[str, Any] = {}
    if reading.workflow is not None:
        inputs, misfits = fill(reading.workflow.inputs, payload.inputs, "/inputs")
        issues += misfits
    if issues or reading.workflow is None:
        raise Terminal("; ".join(f"{issue.pointer}: {issue.detail}" for issue in issues))
    return Course(reading.workflow, inputs, ctx.task_id)


def _outputs(course: "Course") -> Any:
    from orchestrator.sdk.workflow import BadTemplate

    try:
        return course.outputs()
    except BadTemplate as error:
        raise Terminal(f"every step has ended, but the outputs cannot be made: {error}") from None


async def _follow(course: "Course", ctx: Context) -> None:
    """Run the steps, each as soon as it may, until all have ended."""
    running: dict[asyncio.Task[list[Answer]], Begun] = {}
    told = 0
    await ctx.step("begun", bool)  # from here on what has ended is known, and answers within a few turns of the loop
    async with asyncio.TaskGroup() as group:
        while True:
            running |= {group.create_task(_run(begun, ctx)): begun for begun in course.begin()}
            if not running:
                return
            for _ in range(_TURNS):  # children that ended in an earlier run answer now, and are no news
                await asyncio.sleep(0)
            if len(course.ended) > told and not any(each.done() for each in running):
                told = len(course.ended)
                await ctx.progress(course.fraction, course.standing)
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                course.end(running.pop(each), each.result())


async def _run(begun: "Begun", ctx: Context) -> "list[Answer]":
    """Return what a step's children came to, when all have ended."""
    calls = [
        Call(
            child.type, child.payload, child.name, max_retries=child.max_retries, timeout_seconds=child.timeout_seconds
        )
        for child in begun.children
        if child is not None
    ]
    return [_answer(result) for result in await ctx.call_all(calls, return_exceptions=True)]


def _answer(result: Any) -> "Answer":
    from orchestrator.sdk.workflow import Answer

    match result:
        case ChildFailed():
            error = result.error or {"type": result.status, "message": str(result)}
            return Answer(error={**error, "task_id": result.task_id}, child_id=result.task_id)
        case Exception():
            return Answer(error={"type": type(result).__name__, "message": str(result)})
    return Answer(output=result)
