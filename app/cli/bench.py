"""`aurea bench`: how fast this machine runs this system, beside its peers."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.domain.errors import NotStarted
from orchestrator.settings import read_settings

verbs = typer.Typer()

_QUICK_TASKS = 5_000
_PAGE = Path("docs") / "performance.md"


@verbs.command()
def bench(
    tasks: Annotated[int, typer.Option(min=2_000, max=500_000, help="No-ops in a drain.")] = 50_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often everybody is measured; the medians count.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="One contestant, or `aurea`; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option(help=f"One round of {_QUICK_TASKS:,} tasks: rough figures soon.")] = False,
    profile: Annotated[bool, typer.Option(help="Show where the time of our own worker goes instead.")] = False,
    streams: Annotated[bool, typer.Option(help="Write 200 documents at once in one worker instead.")] = False,
    write: Annotated[bool | None, typer.Option(help=f"Put the tables into {_PAGE}; default: after a full run.")] = None,
) -> None:
    """Measure this machine: this system and its peers, on fresh embedded servers. Takes about half an hour."""
    try:
        from bench import contestants, profile_worker, runner, tables
        from bench.streams import measure, report
    except ModuleNotFoundError as error:
        raise NotStarted("the bench is not in the installed package: run it in a checkout of the source") from error
    if profile:
        typer.echo(profile_worker.profile(tasks))
        return
    if streams:
        typer.echo(report(measure()))
        return
    unknown = set(only or ()) - {contestants.OURS, *contestants.PEERS}
    if unknown:
        raise typer.BadParameter(f"choose of {', '.join((contestants.OURS, *contestants.PEERS))}", param_hint="--only")
    options = runner.Options(
        tasks=_QUICK_TASKS if quick else tasks,
        rounds=1 if quick else rounds,
        only=tuple(only or ()),
        folder=(read_settings().aurea_home / "bench").absolute(),
    )
    results = runner.Run(options, lambda line: typer.echo(line, err=True)).measure()
    text = tables.report(results, options)
    typer.echo(f"\n{text}")
    if write if write is not None else not (quick or only or results.failures):
        tables.write_into(contestants.ROOT / _PAGE, text)
