"""`aurea rotate-keys`: whatever is stored gets under the newest master key, so that an old one can be taken away."""

import asyncio

import typer

from app.cli.local import joined
from orchestrator.settings import read_settings

verbs = typer.Typer()

_MOST_TOLD, _TOLD_EVERY = 20, 10_000


@verbs.command()
def rotate_keys() -> None:
    """Seal anew, under the first of AUREA_ENCRYPTION_KEYS, whatever is not; exit with 1 while anything is left.

    Safe beside a running system, and to be interrupted and run again. Run it once every process has the new key first;
    when nothing is left the old key may go.
    """
    settings = joined(read_settings())
    from orchestrator.operations.reseal import Walk, reseal
    from orchestrator.wiring import open_runtime

    async def reseal_all() -> Walk:
        walk, told = Walk(), 0
        async with open_runtime(settings, "cron") as runtime:
            async for walk in reseal(runtime):
                if walk.sealed >= told + _TOLD_EVERY:
                    told = walk.sealed
                    typer.echo(f"sealed anew: {told} …")
        return walk

    walk = asyncio.run(reseal_all())
    for problem in sorted(walk.problems)[:_MOST_TOLD]:
        typer.secho(problem, fg="red", err=True)
    if walk.waiting:
        typer.echo(
            f"{walk.waiting} records wait in the outbox for Postgres: run it again when they are written", err=True
        )
    if walk.untold:
        typer.echo(
            f"{walk.untold} endings are still to be told: run it again when the scheduler has made deliveries of them",
            err=True,
        )
    typer.echo(f"sealed anew: {walk.sealed}; left: {walk.left}")
    raise typer.Exit(1 if walk.left or walk.waiting or walk.untold else 0)
