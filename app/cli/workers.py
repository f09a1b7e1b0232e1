"""`aurea workers` and `aurea handlers`: who works, and what can be asked for."""

from typing import Any

import typer

from app.cli.arguments import AsJson
from app.cli.client import open_api
from app.cli.tables import Column, ago, print_page, span

verbs = typer.Typer()


def _names(names: list[str]) -> str:
    return ", ".join(names) or "all"


def _count(running: list[Any]) -> str:
    return str(len(running))


WORKERS = (
    Column("WORKER", "id"),
    Column("HOST", "host", yields=True),
    Column("PID", "pid"),
    Column("VERSION", "version"),
    Column("QUEUES", "queues", _names, yields=True, spell=_names),
    Column("RUNNING", "running", _count, spell=_count),
    Column("OF", "concurrency"),
    Column("STARTED", "started_at", ago),
)
HANDLERS = (
    Column("TYPE", "type"),
    Column("RETRIES", "max_retries"),
    Column("TIMEOUT", "timeout_seconds", span),
    Column("KIND", "kind"),
    Column("WHAT IT DOES", "description", yields=True),
)


@verbs.command()
def workers(as_json: AsJson = False) -> None:
    """List live workers and what each runs."""
    print_page(
        open_api().get("/workers"), WORKERS, as_json=as_json, empty="no live worker: start one with `aurea worker`"
    )


@verbs.command()
def handlers(as_json: AsJson = False) -> None:
    """List every task type with its limits; --json has the payloads' schemas."""
    print_page(open_api().get("/handlers"), HANDLERS, as_json=as_json, empty="no handlers")
