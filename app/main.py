"""The HTTP application: settings in, an ASGI application out.

Routes, layers and refusals are put together here; the runtime is opened when the server starts and closed when it
leaves, intake first, so that whatever was accepted is stored.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from app.api import (
    artifacts,
    audit,
    batch,
    budget,
    dead,
    deliveries,
    handlers,
    health,
    history,
    keys,
    metrics,
    pages,
    queues,
    stream,
    subscription_deliveries,
    subscriptions,
    tasks,
    tenants,
    webhooks,
    workers,
)
from app.audit import Audit
from app.deps import Desk
from app.edge import Edge, trace_id_of
from app.issues import issues_of, query_refusal
from app.openapi import describe
from app.problems import http_problem, problem_of
from app.tolls import TollGate, Tolls
from app.webhooks.register import open_register
from orchestrator.domain.api_key import ENVS
from orchestrator.domain.errors import AureaError, RateLimited, Unavailable
from orchestrator.operations.audit import Auditor
from orchestrator.operations.identities import Identities
from orchestrator.operations.patience import log_if_strange
from orchestrator.operations.submit import Intake
from orchestrator.operations.user_tokens import UserTokens
from orchestrator.runtime import Runtime
from orchestrator.settings import Settings
from orchestrator.wiring import VERSION, open_runtime

_log = structlog.get_logger("app.main")

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
    deliveries.router,
    queues.router,
    workers.router,
    budget.router,
    keys.router,
    subscriptions.router,
    subscription_deliveries.router,
    audit.router,
    tenants.router,
    handlers.router,
    metrics.router,
    health.router,
)

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Last-Event-ID",
        "Aurea-Tenant",
        "traceparent",
    ],
    "expose_headers": ["Location", "Idempotent-Replayed", "Retry-After", "RateLimit", "RateLimit-Policy"],
    "max_age": 600,
}
"""For the scripts of the pages in AUREA_CORS_ORIGINS. They send a token of their own: no cookie, no credentials."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it connects to nothing before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runtime(settings, role="api") as runtime:
            intake = Intake(runtime)
            intake.start()
            auditor = Auditor(runtime)
            auditor.start()
            app.state.runtime = runtime
            desk = app.state.desk = _desk(settings, runtime, intake, auditor)
            desk.identities.start()
            try:
                yield
            finally:
                await intake.stop()
                await desk.users.stop()
                await desk.identities.stop()
                await auditor.stop()

    app = FastAPI(
        title="AUREA Orchestrator",
        summary="A priority queue of tasks that loses nothing and does nothing twice.",
        version=VERSION,
        openapi_url=None,  # our own pages stand for FastAPI's, which load scripts from elsewhere
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # spans are made by the edge
    )
    app.add_middleware(Audit)
    app.add_middleware(TollGate)
    if settings.aurea_cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.aurea_cors_origins, **_CORS)
    app.add_middleware(Edge, production=settings.env == "production")
    for kind in (AureaError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refuse)
    # Flat and in front: an included router costs every request a second match, FastAPI's own pages three more.
    routers = (*_ROUTERS, pages.router) if settings.docs else _ROUTERS
    app.router.routes[:0] = [route for router in routers for route in router.routes]
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _desk(settings: Settings, runtime: Runtime, intake: Intake, auditor: Auditor) -> Desk:
    if settings.env == "production" and settings.aurea_api_token is None:  # which may be meant
        _log.warning("nobody_is_admin", reason="without AUREA_API_TOKEN only API keys and users are let in")
    return Desk(
        runtime=runtime,
        intake=intake,
        auditor=auditor,
        token=settings.aurea_api_token,
        tolls=Tolls(settings.aurea_rate_per_address, settings.aurea_rate_per_principal),
        register=open_register(settings),
        identities=Identities(runtime),
        users=UserTokens(runtime, settings.supabase_url, settings.supabase_jwt_secret),
        env=ENVS[settings.env],
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
            problem = http_problem(404, "there is nothing at this path: see /docs, where it is served")
        case HTTPException(status_code=405):
            allowed = ", ".join(_methods(request))
            problem = http_problem(405, f"{request.method} is not done here: use {allowed}", {"Allow": allowed})
        case HTTPException():
            problem = http_problem(error.status_code, error.detail, error.headers)
        case _:
            raise error
    return problem.response(trace_id_of(request.scope))


def _methods(request: Request) -> list[str]:
    """Return what can be done at this path; several routes may share it, and a plainer one goes before `{id}`."""
    path = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return sorted({method for route in routes if route.path == routes[0].path for method in route.methods or ()})
