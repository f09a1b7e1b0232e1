"""/health, /livez, /readyz: whether this system can be used. Open to all, so they name no address and no version."""

from typing import Any

from fastapi import APIRouter, Response

from app import shapes
from app.deps import RuntimeOf
from app.render import answer
from orchestrator.operations.health import DependencyHealth, health

router = APIRouter(tags=["health"])

_AWAY: dict[int | str, dict[str, Any]] = {503: {"model": shapes.Health, "description": "Something is away"}}


@router.get("/livez", operation_id="health_live", response_model=shapes.Alive)
async def live() -> Response:
    """Answer as long as this process serves requests at all."""
    return answer({"status": "ok"})


@router.get("/readyz", operation_id="health_ready", response_model=shapes.Health, responses=_AWAY)
async def ready(runtime: RuntimeOf) -> Response:
    """Whether work can be accepted: 200, or 503 with what is away."""
    return _answer(await health(runtime))


@router.get("/health", operation_id="health_show", response_model=shapes.Health, responses=_AWAY)
async def show(runtime: RuntimeOf) -> Response:
    """Each dependency's state and latency: 200, or 503 when one is away."""
    return _answer(await health(runtime))


def _answer(found: list[DependencyHealth]) -> Response:
    well = all(dependency.ok for dependency in found)
    document: dict[str, Any] = {
        "status": "ok" if well else "unavailable",
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
