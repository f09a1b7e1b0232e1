"""`aurea migrate` and `aurea check`: before a system starts."""

import asyncio
from contextlib import suppress

import typer

from app.cli.local import joined
from orchestrator.domain.errors import NotStarted
from orchestrator.settings import read_settings, read_what_is_good

verbs = typer.Typer()


@verbs.command()
def migrate() -> None:
    """Apply the database migrations that are missing. Safe at any time, and when two do it at once."""
    settings = joined(read_settings(), needed=["database_url"])
    from orchestrator.ledger.migrate import migrate

    url = settings.database_url.get_secret_value() if settings.database_url else ""
    applied = asyncio.run(migrate(url))
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: every migration is applied")


@verbs.command()
def check() -> None:
    """Print every problem of the configuration at once; exit with 1 if there is any."""
    settings, issues = read_what_is_good()
    with suppress(NotStarted):
        settings = joined(settings)
    from orchestrator.inspection import Finding, inspect

    refused = [Finding(issue.pointer, is_well=False, detail=issue.detail) for issue in issues]
    wrong = {finding.subject for finding in refused}
    found = [*refused, *(finding for finding in asyncio.run(inspect(settings)) if finding.subject not in wrong)]
    for finding in found:
        typer.secho("ok      " if finding.is_well else "PROBLEM ", fg="green" if finding.is_well else "red", nl=False)
        typer.echo(f"{finding.subject}: {finding.detail}")
    raise typer.Exit(0 if all(finding.is_well for finding in found) else 1)
