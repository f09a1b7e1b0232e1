"""`aurea api`, `worker`, `scheduler`, `cron NAME`: one part of the system as a process of its own.

Without DATABASE_URL and REDIS_URL it joins the system that `aurea up` runs in AUREA_HOME.
"""

import gc
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.address import require_free_port
from app.cli.local import joined
from orchestrator.settings import Settings, read_settings

verbs = typer.Typer()

_BOTH = ("database_url", "redis_url")
_YOUNG = 5_000
"""New objects before garbage is looked for: a batch makes thousands that all live until it is answered."""

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
    from app.server import server_options
    from orchestrator.discovery import discover

    discover(settings.aurea_handlers)  # here one that is broken ends it with a line, in uvicorn with a traceback
    application = create_app(settings)
    _spare_the_collector()
    gc.set_threshold(_YOUNG, 10, 10)
    uvicorn.run(
        application,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        **server_options(settings),
    )


@verbs.command()
def worker(
    queue: Annotated[list[str] | None, typer.Option(help="A queue to serve; may be repeated. Default: all.")] = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Without Postgres: needs REDIS_URL alone; the scheduler writes for it.")
    ] = False,
    home: Folder = None,
) -> None:
    """Run tasks, MAX_CONCURRENCY at once. SIGTERM: finish what runs, give the rest back."""
    settings = _settings(["redis_url"] if isolated else _BOTH, aurea_home=home)
    from orchestrator.wiring import serve_worker

    _run(serve_worker(settings, tuple(queue or ()), isolated=isolated))


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


def _settings(needed: Sequence[str] = _BOTH, **given: Any) -> Settings:
    settings = joined(read_settings(**given), needed)
    _spare_rich()
    from orchestrator.telemetry.logs import configure

    configure(settings.log_level, settings.log_format)
    return settings


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    _spare_the_collector()
    uvloop.run(work)


def _spare_the_collector() -> None:
    """Have what was loaded to start never looked at for garbage again: it took a tenth of a busy process' time."""
    gc.collect()
    gc.freeze()


def _spare_rich() -> None:
    """Load structlog as if rich were not there: for tracebacks that nobody is shown it takes 4 MB of every process."""
    if "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]
        import structlog  # noqa: F401

        del sys.modules["rich"]
