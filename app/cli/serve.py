"""`aurea api`, `worker`, `scheduler`, `cron NAME`: one part of the system as a process of its own.

Without DATABASE_URL and REDIS_URL it joins the system that `aurea up` runs in AUREA_HOME.
"""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.address import require_free_port
from app.cli.local import joined
from orchestrator.settings import Settings, read_settings

verbs = typer.Typer()

_LEAVING_SECONDS = 2
"""What open streams get before they are cut, so that a stop never takes long."""

Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="The folder of `aurea up`; default AUREA_HOME.")]


@verbs.command()
def api(
    host: Annotated[str | None, typer.Option(help="The address to listen on; default HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default PORT, else 8000.")] = None,
    home: Folder = None,
) -> None:
    """Serve the HTTP API."""
    settings = _settings(host=host, port=port, aurea_home=home)
    require_free_port(settings.host, settings.port)
    import uvicorn

    from app.main import create_app
    from orchestrator.discovery import discover

    discover(settings.aurea_handlers)  # here one that is broken ends it with a line, in uvicorn with a traceback
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_LEAVING_SECONDS,
    )


@verbs.command()
def worker(
    queue: Annotated[list[str] | None, typer.Option(help="A queue to serve; may be repeated. Default: all.")] = None,
    home: Folder = None,
) -> None:
    """Run tasks, MAX_CONCURRENCY at once. SIGTERM: finish what runs, give the rest back."""
    settings = _settings(aurea_home=home)
    from orchestrator.wiring import serve_worker

    _run(serve_worker(settings, tuple(queue or ())))


@verbs.command()
def scheduler(home: Folder = None) -> None:
    """Run the chores: what is due, what was lost, what is old. Any number may run; one leads."""
    settings = _settings(aurea_home=home)
    from orchestrator.wiring import serve_scheduler

    _run(serve_scheduler(settings))


@verbs.command()
def cron(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The file in cron/ to run, without its ending.")],
    home: Folder = None,
) -> None:
    """Run one scheduled maintenance job, once."""
    settings = _settings(aurea_home=home)
    from orchestrator.wiring import run_cron

    _run(run_cron(settings, name))


def _settings(**given: Any) -> Settings:
    settings = joined(read_settings(**given))
    from orchestrator.telemetry.logs import configure

    configure(settings.log_level, settings.log_format)
    return settings


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(work)
