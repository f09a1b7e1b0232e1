"""/dead: dead letters, alone or by what killed them, and their replay."""

from typing import Annotated, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import shapes
from app.api.filters import PageQuery, Text, read_ids
from app.audit import note_act
from app.deps import PrincipalOf, RuntimeOf, authenticate, desk_of
from app.issues import validated
from app.openapi import Body
from app.render import answer, page, task_document
from app.request_body import BodyRoute, read_json
from orchestrator.domain.filters import DeadFilter
from orchestrator.domain.ids import TaskId
from orchestrator.operations import read
from orchestrator.operations.replay import replay_dead

router = APIRouter(tags=["dead letters"])
replaying = APIRouter(tags=["dead letters"], route_class=BodyRoute)

_SLOWEST = 0.001
"""A second: the last of the most that one replay runs comes within four months, which is a date that can be kept."""


class DeadQuery(PageQuery):
    """The query of `GET /dead`."""

    group: bool = False
    type: Text | None = None
    fingerprint: Text | None = None


class DeadWanted(BaseModel):
    """Which dead letters: all that fit every field given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Annotated[str, Field(max_length=100)] | None = None
    fingerprint: Annotated[str, Field(max_length=200)] | None = None


class Replay(BaseModel):
    """What to run again: these ids, or all that fit the filter."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = None
    filter: DeadWanted | None = None
    rate_per_second: Annotated[float, Field(ge=_SLOWEST, le=100_000)] | None = None

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError('needs either "ids" or "filter"; an empty filter means every dead letter')
        return self


@router.get("/dead", operation_id="dead_list", response_model=shapes.Page[shapes.Task] | shapes.Page[shapes.DeadGroup])
async def list_dead(query: Annotated[DeadQuery, Query()], principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """List dead letters, newest first; with `group=true` count them by error fingerprint, the largest group first."""
    if query.group:
        return page(await read.dead_groups(runtime, principal.tenant))
    wanted = DeadFilter(type=query.type, fingerprint=query.fingerprint)
    found = await read.dead(runtime, principal.tenant, wanted, query.cursor, query.limit)
    return page([task_document(task) for task in found.items], found.next_cursor)


@replaying.post(
    "/dead/replay",
    operation_id="dead_replay",
    response_model=shapes.Replayed,
    openapi_extra=Body(Replay, {"filter": {"type": "http_request"}, "rate_per_second": 10}),
)
async def replay(request: Request) -> Response:
    """Run dead letters again, spread out at `rate_per_second`, and say how many; ids that are none are left alone."""
    principal = await authenticate(request)
    runtime = desk_of(request).runtime
    wanted = validated(Replay, await read_json(request, runtime.limits.max_body_bytes))
    chosen: DeadFilter | list[TaskId] = read_ids(wanted.ids or ())
    if wanted.filter is not None:
        chosen = DeadFilter(type=wanted.filter.type, fingerprint=wanted.filter.fingerprint)
    replayed = await replay_dead(runtime, principal.tenant, chosen, wanted.rate_per_second)
    asked = {} if wanted.filter is None else wanted.filter.model_dump(exclude_none=True)
    note_act(request, *(wanted.ids or ()), replayed=replayed, **asked)
    return answer({"replayed": replayed})
