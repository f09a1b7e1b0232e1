"""`aurea chaos`: break a throw-away system in every way that is known, and prove that nothing was lost.

Progress goes to standard error, the verdict to standard output. The folder of a campaign that failed is kept.
"""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.arguments import read_payload
from app.cli.screen import complain, note, print_json
from orchestrator.domain.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.chaos.options import Options
    from orchestrator.chaos.verdict import Verdict

verbs = typer.Typer()

_TASKS, _FAULTS = 5_000, 40
_TASKS_A_SECOND, _SECONDS_A_FAULT = 80, 0.9

Minutes = Annotated[float | None, typer.Option(min=0.1, help="Spread tasks and faults over this time.")]
HandlersFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, help="A file of your own handlers, to be run as well."),
]
Payloads = Annotated[
    list[str] | None,
    typer.Option(
        "--payload",
        metavar="TYPE=JSON",
        help="What your handler of this type is given: JSON, or @FILE; default {}. May be repeated.",
    ),
]


@verbs.command()
def chaos(
    tasks: Annotated[int | None, typer.Option(min=1, max=1_000_000, help=f"Default {_TASKS:,}.")] = None,
    minutes: Minutes = None,
    faults: Annotated[int | None, typer.Option(min=0, max=100_000, help=f"Default {_FAULTS}.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed draws the same tasks and faults.")] = 1,
    handlers: HandlersFile = None,
    payload: Payloads = None,
    lease: Annotated[float, typer.Option(min=1, max=60, metavar="SECONDS", help="The lease of the workers.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Break a throw-away system under load, and check that nothing is lost. Exits with 1 if a promise was broken."""
    from orchestrator.chaos.options import Options

    payloads = _payloads(handlers, payload or [])
    folder = Path(tempfile.mkdtemp(prefix="aurea-chaos-"))
    options = Options(
        folder=folder,
        tasks=tasks or _spread(minutes, _TASKS_A_SECOND, _TASKS),
        faults=_spread(minutes, 1 / _SECONDS_A_FAULT, _FAULTS) if faults is None else faults,
        workers=workers,
        seed=seed,
        lease_seconds=lease,
        minutes=minutes,
        handlers=str(handlers.resolve()) if handlers else None,
        payloads=payloads,
    )
    kept = False
    try:
        verdict = _run(options)
        kept = not verdict.is_sound
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    _tell(verdict, as_json)
    if kept:
        note(f"history, logs and stores are kept in {folder}")
        raise typer.Exit(1)


def _spread(minutes: float | None, per_second: float, default: int) -> int:
    return int(minutes * 60 * per_second) if minutes else default


def _payloads(handlers: Path | None, given: list[str]) -> dict[str, bytes]:
    """The payload of each of the user's types. Refuses one that its handler would."""
    from orchestrator.discovery import discover, load

    payloads: dict[str, bytes] = {handler.name: b"{}" for handler in load(str(handlers))} if handlers else {}
    known = discover([str(handlers)] if handlers else [])
    for text in given:
        kind, equals, value = text.partition("=")
        if not equals or kind not in known:
            raise typer.BadParameter(f"write TYPE=JSON with a type of {', '.join(known.known())}: {text!r}")
        payloads[kind] = read_payload(value)
    for kind, document in payloads.items():
        try:
            known[kind].decode(document)
        except InvalidInput as refusal:
            fixes = [f"{issue.pointer}: {issue.detail}" for issue in refusal.issues]
            complain(f"{kind} refuses its payload; give it one with --payload {kind}=JSON", *fixes)
    return payloads


def _run(options: "Options") -> "Verdict":
    import uvloop

    from app.cli.chaos_screen import screen
    from orchestrator.chaos.campaign import Campaign

    async def perform(campaign: Campaign) -> "Verdict":
        running = asyncio.ensure_future(campaign.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        return await running

    with screen(options.tasks, options.faults) as shown:
        try:
            return uvloop.run(perform(Campaign(options, shown.show, shown.say)))
        except asyncio.CancelledError:
            raise typer.Abort from None


def _tell(verdict: "Verdict", as_json: bool) -> None:
    from app.cli.chaos_screen import print_verdict

    if as_json:
        print_json(verdict.document())
    else:
        print_verdict(verdict)
