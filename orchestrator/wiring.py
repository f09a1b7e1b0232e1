"""Settings in, Runtime out: where the parts of a process are put together, and taken apart in the right order."""

import asyncio
import importlib
import os
import pkgutil
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any, Literal

import httpx2
from pydantic import SecretStr

from orchestrator import crash
from orchestrator.artifacts.choice import choose
from orchestrator.artifacts.port import ArtifactStore
from orchestrator.clock import Clock, SystemClock
from orchestrator.discovery import discover
from orchestrator.domain.errors import NotConfigured, NotFound, Unavailable
from orchestrator.domain.ids import WorkerId
from orchestrator.domain.money import to_nano
from orchestrator.domain.signing import Signer
from orchestrator.egress.addresses import Allowed
from orchestrator.egress.client import open_client
from orchestrator.ledger.pool import NoPool, open_pool
from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.models.models import Models, open_models
from orchestrator.operations.count import flush, keep_flushing
from orchestrator.operations.fences import open_epoch
from orchestrator.operations.profile import keep_learning, learn
from orchestrator.operations.standby import leave_alone
from orchestrator.queue.connect import connect
from orchestrator.queue.counters import Counters
from orchestrator.queue.feed import Feed
from orchestrator.queue.keyring import Keyring
from orchestrator.queue.keys import Keys
from orchestrator.queue.port import Queue
from orchestrator.queue.presence import Presence
from orchestrator.queue.rates import Rates
from orchestrator.queue.redis import RedisQueue
from orchestrator.queue.server import RedisServer
from orchestrator.queue.subscriptions import Subscriptions
from orchestrator.runtime import Limits, Runtime, Standby, Store
from orchestrator.settings import Settings
from orchestrator.telemetry import redaction
from orchestrator.telemetry.counts import Counts
from orchestrator.telemetry.reports import Reports, open_reports
from orchestrator.telemetry.traces import Traces, open_traces, outgoing_headers
from orchestrator.vault.master_keys import read_master_keys
from orchestrator.vault.vault import Vault
from orchestrator.withheld import handler_config, secrets_of
from orchestrator.worker.chores import (
    api_keys,
    budget,
    callbacks,
    deliveries,
    leftovers,
    limits,
    order,
    relay,
    retention,
    wakes,
)
from orchestrator.worker.chores.reconcile import Reconciler
from orchestrator.worker.scheduler import Scheduler
from orchestrator.worker.service import Facts, WorkerService

Role = Literal["api", "worker", "scheduler", "cron"]
VERSION = version("aurea-orchestrator")


@asynccontextmanager
async def open_runtime(settings: Settings, role: Role, *, isolated: bool = False) -> AsyncIterator[Runtime]:
    """Open everything one process needs, and close it afterwards; an isolated one never opens Postgres.

    Stores are connected to when they are first used: a process starts while one is away. Raises NotConfigured,
    RedisEvicts or HandlerBroken.
    """
    crash.arm(settings.aurea_crash_at)
    redaction.hide(secrets_of(settings))
    async with AsyncExitStack() as closing:
        runtime = await _open(settings, role, closing, isolated)
        runtime.subscriptions.start()
        with suppress(Unavailable):
            await open_epoch(runtime)  # what is queued without one is asked about in Postgres before it runs
        with suppress(Unavailable):
            await learn(runtime)
        steady = [asyncio.create_task(keep_flushing(runtime)), asyncio.create_task(keep_learning(runtime))]
        try:
            yield runtime
        finally:
            for each in steady:
                each.cancel()
            await leave_alone(runtime)
            with suppress(Unavailable):
                await flush(runtime)


async def _open(settings: Settings, role: Role, closing: AsyncExitStack, isolated: bool) -> Runtime:
    redis_url, keys = _required(settings, "redis_url"), Keys(settings.aurea_namespace)
    handlers = discover(settings.aurea_handlers)
    traces, reports = _open_telemetry(settings, role, closing)
    pool = NoPool() if isolated else await _open_pool(settings)
    closing.push_async_callback(pool.close)
    commands, blocking = connect(redis_url, settings.aurea_namespace)
    closing.push_async_callback(commands.aclose)
    closing.push_async_callback(blocking.aclose)
    server, subscriptions = RedisServer(commands), Subscriptions(commands, keys)
    with suppress(Unavailable):  # it is looked at again by /health
        await server.refuse_eviction()
    closing.push_async_callback(subscriptions.stop)
    clock = SystemClock()
    http, models, artifacts = _open_outside(settings, clock, closing)
    return Runtime(
        ledger=PostgresLedger(pool),
        queue=RedisQueue(commands, blocking, keys, _step_us(settings), settings.aurea_redis_replicas),
        redis=server,
        feed=Feed(commands, keys),
        subscriptions=subscriptions,
        presence=Presence(commands, keys),
        counters=Counters(commands, keys),
        keyring=Keyring(commands, keys, settings.aurea_redis_replicas),
        rates=Rates(commands, keys),
        metrics=Counts(),
        traces=traces,
        reports=reports,
        clock=clock,
        handlers=handlers,
        http=http,
        models=models,
        artifacts=artifacts,
        config=handler_config(settings),
        limits=_limits(settings),
        signer=Signer(tuple(secret.get_secret_value() for secret in settings.aurea_signing_secrets)),
        private_hosts=Allowed(settings.aurea_allow_private_hosts),
        vault=_open_vault(settings),
        standby=Standby(isolated, Store("postgres", away=isolated, silent=isolated)),
    )


def _open_telemetry(settings: Settings, role: Role, closing: AsyncExitStack) -> tuple[Traces, Reports]:
    traces = open_traces(settings.otel_exporter_otlp_endpoint, settings.aurea_trace_sample, f"aurea-{role}")
    closing.callback(traces.stop)
    reports = open_reports(_revealed(settings.sentry_dsn), settings.env, VERSION)
    closing.callback(reports.stop)
    return traces, reports


def _open_outside(
    settings: Settings, clock: Clock, closing: AsyncExitStack
) -> tuple[httpx2.AsyncClient, Models, ArtifactStore]:
    """What handlers reach besides our own stores; none of it connects before it is used."""
    http = open_client(settings.aurea_allow_private_hosts, headers=outgoing_headers)
    closing.push_async_callback(http.aclose)
    models = open_models(settings.model_accesses, settings.aurea_model_chain, settings.aurea_prices, clock)
    closing.push_async_callback(models.close)
    artifacts = choose(settings.artifact_choice)
    closing.push_async_callback(artifacts.close)
    return http, models, artifacts


async def _open_pool(settings: Settings) -> Any:
    url = _required(settings, "database_url")
    return await open_pool(url, size=settings.aurea_db_pool_size, pooler=settings.aurea_db_pooler)


async def serve_worker(settings: Settings, queues: tuple[str, ...] = (), *, isolated: bool = False) -> None:
    """Run one worker until SIGTERM or SIGINT; a second signal gives everything back at once."""
    async with open_runtime(settings, "worker", isolated=isolated) as runtime:
        facts = Facts(
            worker=_name("worker"),
            version=VERSION,
            concurrency=settings.max_concurrency,
            queues=queues,
            grace_seconds=settings.shutdown_grace_seconds,
            allow_private=settings.aurea_allow_private_hosts,
        )
        service = WorkerService(runtime, facts, lambda: _connections(settings))
        _on_stop(service.stop)
        await service.run()


async def serve_scheduler(settings: Settings) -> None:
    """Run the chores until SIGTERM or SIGINT, whenever this process leads."""
    async with open_runtime(settings, "scheduler") as runtime:
        holder = _name("scheduler")
        chores = [
            *order.chores(runtime, holder),
            *Reconciler(runtime).chores(),
            *wakes.chores(runtime),
            relay.chore(runtime),
            callbacks.chore(runtime),
            retention.chore(runtime),
            deliveries.chore(runtime),
            leftovers.chore(runtime),
            *budget.chores(runtime),
            *api_keys.chores(runtime),
            *limits.chores(runtime),
        ]
        scheduler = Scheduler(runtime, holder, chores)
        _on_stop(scheduler.stop)
        await scheduler.run()


async def run_cron(settings: Settings, name: str) -> None:
    """Run the job `cron/<name>.py` once. Raises NotFound with the names there are."""
    known = sorted(module.name for module in pkgutil.iter_modules(importlib.import_module("cron").__path__))
    if name not in known:
        raise NotFound(f"there is no cron job {name!r}; there are: {', '.join(known)}")
    async with open_runtime(settings, "cron") as runtime:
        await importlib.import_module(f"cron.{name}").run(runtime)


def _connections(settings: Settings) -> tuple[Queue, Presence, Callable[[], Awaitable[None]]]:
    """Clients for a thread with an event loop of its own."""
    commands, blocking = connect(_required(settings, "redis_url"), settings.aurea_namespace)
    keys = Keys(settings.aurea_namespace)

    async def close() -> None:
        await commands.aclose()
        await blocking.aclose()

    return RedisQueue(commands, blocking, keys, _step_us(settings)), Presence(commands, keys), close


def _open_vault(settings: Settings) -> Vault:
    keys = _revealed(settings.aurea_encryption_keys)
    return Vault(read_master_keys(keys) if keys else (), settings.aurea_encrypt_tenants)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_retries=settings.task_max_retries,
        timeout_seconds=settings.task_timeout_seconds,
        lease_ms=int(settings.task_lease_seconds * 1000),
        max_queue_depth=settings.max_queue_depth,
        max_body_bytes=settings.aurea_max_body_bytes,
        max_batch_bytes=settings.aurea_max_batch_bytes,
        max_result_bytes=settings.aurea_max_result_bytes,
        max_artifact_bytes=settings.aurea_max_artifact_bytes,
        retention_days=settings.aurea_retention_days,
        day_budget_nano=to_nano(settings.model_daily_budget_usd),
    )


def _step_us(settings: Settings) -> int:
    return int(settings.priority_step_seconds * 1e6)


def _required(settings: Settings, name: str) -> str:
    value = _revealed(getattr(settings, name))
    if value is None:
        raise NotConfigured(name.upper(), "to the address of the server, or run `aurea up`, which brings its own")
    return value


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _name(role: str) -> WorkerId:
    """Unique for ever: a process that gets the pid of a dead one is not mistaken for it."""
    return WorkerId(f"{role}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")


def _on_stop(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
