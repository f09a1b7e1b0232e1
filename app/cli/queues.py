"""`aurea queues`: depth, age and who works on them; pause and resume."""

from typing import Annotated

import typer

from app.cli.arguments import AsJson
from app.cli.client import at, open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, print_json
from app.cli.tables import Column, print_page, span

verbs = typer.Typer(name="queues", cls=ListingGroup, help="See, pause and resume queues. Without a verb: list.")

QUEUES = (
    Column("QUEUE", "name"),
    Column("DEPTH", "depth"),
    Column("OLDEST", "oldest_age_seconds", span),
    Column("RUNNING", "running"),
    Column("PAUSED", "paused", lambda paused: "paused" if paused else ""),
)
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]


@verbs.command("list")
def list_queues(as_json: AsJson = False) -> None:
    """List queues."""
    print_page(open_api().get("/queues"), QUEUES, as_json=as_json, empty="no queue has seen a task yet")


@verbs.command()
def pause(name: QueueName, as_json: AsJson = False) -> None:
    """Stop handing out tasks of a queue; those that run go on."""
    _steer(name, "pause", f"{name} is paused; go on with: aurea queues resume {name}", as_json)


@verbs.command()
def resume(name: QueueName, as_json: AsJson = False) -> None:
    """Hand out the tasks of a paused queue again."""
    _steer(name, "resume", f"{name} is open", as_json)


def _steer(name: str, verb: str, said: str, as_json: bool) -> None:
    answer, _ = open_api().post(at("queues", name, verb))
    if as_json:
        print_json(answer)
    else:
        answers().print(said)
