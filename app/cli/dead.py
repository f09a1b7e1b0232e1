"""`aurea dead`: the dead letters, and running them again."""

from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit
from app.cli.client import open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, print_json
from app.cli.tables import Column, ago, error_text, print_page

verbs = typer.Typer(name="dead", cls=ListingGroup, help="See dead letters and replay them. Without a verb: list.")

DEAD = (
    Column("ID", "id"),
    Column("TYPE", "type"),
    Column("FAILED", "finished_at", ago),
    Column("TRY", "attempt"),
    Column("FINGERPRINT", "error.fingerprint"),
    Column("ERROR", "error", error_text, yields=True, spell=error_text),
)
GROUPS = (
    Column("COUNT", "count"),
    Column("TYPE", "type"),
    Column("FINGERPRINT", "fingerprint"),
    Column("LAST", "last_at", ago),
    Column("ERROR", "message", yields=True),
)

TypeFilter = Annotated[str | None, typer.Option("--type", help="Only this type.")]
FingerprintFilter = Annotated[str | None, typer.Option(help="Only failures with this cause.")]


@verbs.command("list")
def list_dead(
    group: Annotated[bool, typer.Option("--group", help="Count them by cause.")] = False,
    type_name: TypeFilter = None,
    fingerprint: FingerprintFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, or count them by cause."""
    wanted: dict[str, Any] = {"type": type_name, "fingerprint": fingerprint, "limit": limit, "cursor": cursor}
    page = open_api().get("/dead", {**wanted, "group": "true"} if group else wanted)
    print_page(page, GROUPS if group else DEAD, as_json=as_json, empty="no dead letters", more="aurea dead list")


@verbs.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Dead letters to replay.")] = None,
    type_name: TypeFilter = None,
    fingerprint: FingerprintFilter = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter there is.")] = False,
    rate: Annotated[float | None, typer.Option(metavar="N", min=0.001, help="At most N tasks a second.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again: some by id, or all that fit a filter."""
    filtered = type_name is not None or fingerprint is not None
    if bool(ids) + filtered + everything != 1:
        raise typer.BadParameter("say which: ids, or --type and --fingerprint, or --all")
    wanted = {name: value for name, value in (("type", type_name), ("fingerprint", fingerprint)) if value is not None}
    body: dict[str, Any] = {"ids": ids} if ids else {"filter": wanted}
    if rate is not None:
        body["rate_per_second"] = rate
    answer, _ = open_api().post("/dead/replay", body)
    if as_json:
        print_json(answer)
    else:
        answers().print(f"{answer['replayed']} replayed")
