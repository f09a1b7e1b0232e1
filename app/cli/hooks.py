"""`aurea hooks`: what came by webhooks, and having it processed again."""

from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit
from app.cli.client import at, open_api
from app.cli.groups import ListingGroup
from app.cli.submit import print_created
from app.cli.tables import Column, ago, print_page, print_record, to_the_second

verbs = typer.Typer(name="hooks", cls=ListingGroup, help="See what came by webhooks. Without a verb: list.")

DELIVERIES = (
    Column("ID", "id"),
    Column("SOURCE", "source"),
    Column("EVENT", "event", yields=True),
    Column("RECEIVED", "received_at", ago),
    Column("SEEN", "times_seen"),
    Column("DELIVERY", "delivery_id", yields=True),
    Column("TASK", "task_id"),
)
DELIVERY = (
    *(column for column in DELIVERIES if column.field != "received_at"),
    Column("RECEIVED", "received_at", to_the_second),
    Column("LAST SEEN", "seen_at", to_the_second),
    Column("SCHEME", "scheme"),
    Column("SECRET", "secret"),
    Column("REDELIVERED", "redelivered"),
    Column("HEADERS", "headers"),
    Column("BODY", "body"),
)
DeliveryIdArgument = Annotated[str, typer.Argument(metavar="ID", help="A delivery's id.")]


@verbs.command("list")
def list_deliveries(
    source: Annotated[str | None, typer.Option(help="Only from this source.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    wanted: dict[str, Any] = {"source": source, "event": event, "limit": limit, "cursor": cursor}
    page = open_api().get("/deliveries", wanted)
    print_page(page, DELIVERIES, as_json=as_json, empty="no deliveries", more="aurea hooks list")


@verbs.command()
def show(delivery_id: DeliveryIdArgument, as_json: AsJson = False) -> None:
    """Show one delivery with its content."""
    print_record(open_api().get(at("deliveries", delivery_id)), DELIVERY, as_json=as_json)


@verbs.command()
def redeliver(delivery_id: DeliveryIdArgument, as_json: AsJson = False) -> None:
    """Process a delivery again, by the rules of today; every call makes a new task."""
    task, _ = open_api().post(at("deliveries", delivery_id, "redeliver"))
    print_created(task, as_json)
