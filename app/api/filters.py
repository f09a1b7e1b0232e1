"""What a list may be narrowed to, and how the query's text becomes a filter."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.domain.errors import InvalidId, InvalidInput, Issue
from orchestrator.domain.filters import TaskFilter
from orchestrator.domain.ids import TaskId, parse_task_id
from orchestrator.domain.states import State


def _moment(text: str) -> datetime:
    """Read an RFC 3339 time. A `+` that the query string turned into a space is taken for what it was."""
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else "")
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _read_moment(text: str) -> datetime:
    try:
        return _moment(text)
    except (ValueError, OverflowError):
        raise ValueError("must be a time in RFC 3339, as in 2026-11-20T09:00:00Z") from None


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds the character U+0000, which is in no task: remove it")
    return text


Moment = Annotated[datetime, BeforeValidator(_read_moment)]
Text = Annotated[str, AfterValidator(_storable), Field(max_length=400)]


class TaskQuery(BaseModel):
    """The query of `GET /tasks`. An unknown parameter is refused: a misspelt filter would widen the list."""

    model_config = ConfigDict(extra="forbid")

    status: State | None = None
    type: Text | None = None
    queue: Text | None = None
    tag: Annotated[Text | None, Field(description="`key:value`")] = None
    parent_id: Text | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    q: Annotated[Text | None, Field(description="Text in the type, the key, the tags or the error.")] = None
    cursor: Annotated[str | None, Field(description="The next_cursor of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


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
    key, colon, value = text.partition(":")
    if not key or not colon:
        raise InvalidInput("/tag must be key:value", [Issue("/tag", "must be key:value")])
    return key, value


def _parent(text: str | None) -> TaskId | None:
    try:
        return None if text is None else parse_task_id(text)
    except InvalidId as error:
        raise InvalidInput(str(error), [Issue("/parent_id", error.issues[0].detail)]) from None
