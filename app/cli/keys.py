"""`aurea keys`: API keys of the tenant, made, listed, rotated and revoked."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit, read_span
from app.cli.client import at, open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, note, plain, print_json
from app.cli.tables import Column, ago, print_page
from orchestrator.clock import SystemClock

verbs = typer.Typer(name="keys", cls=ListingGroup, help="Make, see, rotate and revoke API keys. Without a verb: list.")

KEYS = (
    Column("ID", "id"),
    Column("NAME", "name", yields=True),
    Column("SCOPES", "scopes", lambda scopes: " ".join(scopes), yields=True, spell=lambda scopes: " ".join(scopes)),
    Column("CREATED", "created_at", ago),
    Column("USED", "last_used_at", ago),
    Column("EXPIRES", "expires_at", ago),
    Column("REVOKED", "revoked_at", ago),
    Column("ROTATED TO", "rotated_to"),
)
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `aurea keys` lists it.")]
Expires = Annotated[str | None, typer.Option(metavar="SPAN", help="When it ends by itself, as 90d. Without it: never.")]


@verbs.command("list")
def list_keys(limit: Limit = 50, cursor: Cursor = None, as_json: AsJson = False) -> None:
    """List keys, newest first, those that ended too; never the keys themselves."""
    page = open_api().get("/keys", {"limit": limit, "cursor": cursor})
    print_page(page, KEYS, as_json=as_json, empty="no API keys", more="aurea keys list")


@verbs.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, as tasks:read; repeat it for more.")],
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: this once, it is kept nowhere."""
    body = {"name": name, "scopes": scope, "expires_at": _moment(expires)}
    _show(open_api().post("/keys", body)[0], as_json)


@verbs.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[str, typer.Option(metavar="SPAN", help="How long the old one stays good.")] = "1h",
    expires: Annotated[str | None, typer.Option(metavar="SPAN", help="Without it: as the old one would have.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one, which is printed this once; the old one is good until the overlap ends."""
    body = {"overlap_seconds": read_span(overlap), "expires_at": _moment(expires)}
    _show(open_api().post(at("keys", key_id, "rotate"), body)[0], as_json)


@verbs.command()
def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """End a key: within five seconds it opens nothing anywhere."""
    key = open_api().delete(at("keys", key_id))
    if as_json:
        print_json(key)
    else:
        answers().print(f"{plain(key['prefix'])} ({plain(key['name'])}) is revoked")


def _moment(span: str | None) -> str | None:
    if span is None:
        return None
    try:
        return (SystemClock().now() + timedelta(seconds=read_span(span))).isoformat()
    except OverflowError:
        raise typer.BadParameter(f"{span!r} is farther away than time goes") from None


def _show(key: dict[str, Any], as_json: bool) -> None:
    """The key alone goes to standard output, so that a script can take it."""
    if as_json:
        print_json(key)
        return
    answers().print(plain(key["key"]))
    note(f"keep it now: it is not shown again. Revoke it with: aurea keys revoke {plain(key['id'])}")
