"""What a list may be narrowed to, and how the query's text becomes a filter."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.domain.errors import InvalidId, InvalidInput, Issue
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import TaskId, parse_task_id
from orchestrator.domain.states import State
from orchestrator.operations.request import Moment


def _with_plus(text: str) -> str:
    """An offset's `+` that was not escaped arrives as a space."""
    return text.replace(" ", "+")


QueryMoment = Annotated[Moment, BeforeValidator(_with_plus)]
Text = Annotated[str, Field(max_length=400)]


class PageQuery(BaseModel):
    """The query of a list that comes in pages.

    An unknown parameter is refused: a misspelt filter would widen the list.
    """

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, Field(description="The next_cursor of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class TaskQuery(PageQuery):
    """The query of `GET /tasks`."""

    status: State | None = None
    type: Text | None = None
    queue: Text | None = None
    tag: Annotated[Text | None, Field(description="`key:value`, or `key=value`.")] = None
    parent_id: Text | None = None
    created_after: QueryMoment | None = None
    created_before: QueryMoment | None = None
    q: Annotated[Text | None, Field(description="Text in the type, the key, the tags or the error.")] = None


def open_filter(query: TaskQuery) -> TaskFilter:
    """Return the filter. Raises InvalidInput for a tag or an id that is none."""
    return TaskFilter(
        status=query.status,
        type=query.type,
        queue=query.queue,
        tag=_tag(query.tag),
        parent_id=_parent(query.parent_id),
        created_after=query.created_after,
        created_before=query.created_before,
        q=query.q,
    )


def _tag(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    key, between, value = text.partition(":" if ":" in text else "=")
    if not key or not between:
        raise InvalidInput("tag must be key:value", [Issue("/tag", "must be key:value")])
    return key, value


def _parent(text: str | None) -> TaskId | None:
    try:
        return None if text is None else parse_task_id(text)
    except InvalidId as error:
        raise InvalidInput(str(error), [Issue("/parent_id", error.issues[0].detail)]) from None


def read_ids(texts: Sequence[str]) -> list[TaskId]:
    """Return the ids in a body's list `ids`. Raises InvalidInput that points at the first that is none."""
    ids = []
    for place, text in enumerate(texts):
        try:
            ids.append(parse_task_id(text))
        except InvalidId as error:
            raise InvalidInput(str(error), [Issue(f"/ids/{place}", error.issues[0].detail)]) from None
    return ids
