"""/health, /livez, /readyz: whether this system can be used. Open to all, so they name no address and no version.

HEAD asks the same and is told the same, without the body: what watches from outside often sends it.
"""

from typing import Any

from fastapi import APIRouter, Response

from app import shapes
from app.deps import RuntimeOf
from app.render import answer
from orchestrator.operations.health import DependencyHealth, accepts_work, health

router = APIRouter(tags=["health"])

_AWAY: dict[int | str, dict[str, Any]] = {503: {"model": shapes.Health, "description": "Something is away"}}


@router.head("/livez", operation_id="health_live", include_in_schema=False)
@router.get("/livez", operation_id="health_live", response_model=shapes.Alive)
async def live() -> Response:
    """Answer as long as this process serves requests at all."""
    return answer({"status": "ok"})


@router.head("/readyz", operation_id="health_ready", include_in_schema=False)
@router.get("/readyz", operation_id="health_ready", response_model=shapes.Health, responses=_AWAY)
async def ready(runtime: RuntimeOf) -> Response:
    """Whether work can be accepted: 200 while either store can keep it, or 503."""
    found = await health(runtime)
    return _answer(found, accepts_work(found))


@router.head("/health", operation_id="health_show", include_in_schema=False)
@router.get("/health", operation_id="health_show", response_model=shapes.Health, responses=_AWAY)
async def show(runtime: RuntimeOf) -> Response:
    """Each dependency's state and latency: 200, or 503 when one is away or has to be mended."""
    found = await health(runtime)
    return _answer(found, all(dependency.ok for dependency in found))


def _answer(found: list[DependencyHealth], well: bool) -> Response:
    document: dict[str, Any] = {
        "status": _status(found),
        "dependencies": {
            dependency.name: {
                "status": "ok" if dependency.ok else "unavailable",
                "latency_ms": dependency.latency_ms,
                "detail": dependency.detail or None,
            }
            for dependency in found
        },
    }
    return answer(document, 200 if well else 503, None if well else {"Retry-After": "2"})


def _status(found: list[DependencyHealth]) -> str:
    if all(dependency.ok for dependency in found):
        return "ok"
    return "degraded" if accepts_work(found) else "unavailable"
