"""/metrics: the whole system's figures in one scrape, for Prometheus."""

from fastapi import APIRouter, Request, Response
from starlette.responses import PlainTextResponse

from app.deps import PrincipalOf, desk_of
from orchestrator.domain.errors import NotFound
from orchestrator.operations.count import scrape
from orchestrator.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/metrics", operation_id="metrics_scrape", response_class=PlainTextResponse)
async def metrics(request: Request, principal: PrincipalOf) -> Response:
    """Answer every metric of every process: workers count in Redis, so one scrape of one API process is enough."""
    desk = desk_of(request)
    if not desk.metrics:
        raise NotFound("metrics are switched off here: set ENABLE_METRICS=true")
    return Response(await scrape(desk.runtime), media_type=CONTENT_TYPE)
