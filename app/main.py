"""The HTTP application: settings in, an ASGI application out.

Routes, layers and refusals are put together here; the runtime is opened when the server starts and closed when it
leaves, intake first, so that whatever was accepted is stored.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from app.api import (
    artifacts,
    batch,
    budget,
    dead,
    handlers,
    health,
    history,
    metrics,
    queues,
    stream,
    tasks,
    tenants,
    webhooks,
    workers,
)
from app.deps import Desk
from app.edge import Edge, trace_id_of
from app.issues import issues_of, query_refusal
from app.openapi import describe
from app.problems import http_problem, problem_of
from app.tolls import TollGate, Tolls
from app.webhooks.source import find_sources
from orchestrator.domain.errors import AureaError, RateLimited, Unavailable
from orchestrator.operations.patience import log_if_strange
from orchestrator.operations.submit import Intake
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from orchestrator.wiring import VERSION, open_runtime

# The hot routes stand first: routes are tried in order.
_ROUTERS = (
    tasks.creating,
    batch.router,
    webhooks.router,
    tasks.router,
    history.router,
    artifacts.router,
    stream.router,
    dead.router,
    dead.replaying,
    queues.router,
    workers.router,
    budget.router,
    tenants.router,
    handlers.router,
    metrics.router,
    health.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it connects to nothing before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runtime(settings, role="api") as runtime:
            intake = Intake(runtime)
            intake.start()
            app.state.runtime = runtime
            app.state.desk = _desk(settings, runtime, intake)
            try:
                yield
            finally:
                await intake.stop()

    app = FastAPI(
        title="AUREA Orchestrator",
        summary="A priority queue of tasks that loses nothing and does nothing twice.",
        version=VERSION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # spans are made by the edge
    )
    app.add_middleware(TollGate)
    app.add_middleware(Edge)
    for kind in (AureaError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refuse)
    # Flat and in front: an included router costs every request a second match, FastAPI's own pages three more.
    app.router.routes[:0] = [route for router in _ROUTERS for route in router.routes]
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _desk(settings: Settings, runtime: Runtime, intake: Intake) -> Desk:
    sources = find_sources()
    return Desk(
        runtime=runtime,
        intake=intake,
        token=settings.aurea_api_token,
        tolls=Tolls(settings.aurea_rate_per_address, settings.aurea_rate_per_principal, settings.aurea_trusted_proxies),
        sources=sources,
        secrets={source.variable: getattr(settings, source.variable.lower()) for source in sources.values()},
        sse=settings.enable_sse,
        metrics=settings.enable_metrics,
    )


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and "tolls" not in request.scope["state"]:
        try:  # it led nowhere, so nobody asked who it was
            desk: Desk = request.app.state.desk
            await desk.tolls.charge_address(desk.runtime, request.scope)
        except RateLimited as limited:
            error = limited
    match error:
        case AureaError():
            if isinstance(error, Unavailable):
                log_if_strange(error)
            problem = problem_of(error)
        case RequestValidationError():
            sent = {**request.query_params, **request.path_params}
            found = [{**finding, "loc": finding["loc"][1:]} for finding in error.errors()]
            problem = problem_of(query_refusal(issues_of(found, sent)))
        case HTTPException(status_code=404):
            problem = http_problem(404, "there is nothing at this path: see /docs")
        case HTTPException(status_code=405):
            allowed = ", ".join(_methods(request))
            problem = http_problem(405, f"{request.method} is not done here: use {allowed}", {"Allow": allowed})
        case HTTPException():
            problem = http_problem(error.status_code, error.detail, error.headers)
        case _:
            raise error
    return problem.response(trace_id_of(request.scope))


def _methods(request: Request) -> list[str]:
    """Return what can be done at this path; several routes may share it."""
    path = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return sorted({method for route in routes for method in route.methods or ()})
