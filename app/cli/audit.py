"""`aurea audit`: who changed what, and whether what is written of it was altered."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor
from app.cli.client import Api, open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, complain, note, plain, print_json
from app.cli.tables import Column, ago, print_page
from orchestrator.domain.audit import Broken, Head, followed

verbs = typer.Typer(name="audit", cls=ListingGroup, help="See and verify the audit. Without a verb: list.")

_PAGE = 1000
_HEAD = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})")

Limit = Annotated[int, typer.Option(min=1, max=_PAGE, help="How many at most.")]
Actor = Annotated[str | None, typer.Option(help="Only what this key, user or source did; `admin` is the token.")]
Action = Annotated[str | None, typer.Option(help="Only this operation, such as tasks_cancel.")]
Target = Annotated[str | None, typer.Option(help="Only what was done to this task, queue or key.")]
OfTenant = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME", help="Whose trail; for the admin token, else the own.")
]
Noted = Annotated[
    list[str] | None,
    typer.Option("--head", metavar="NUMBER:HASH", help="What an earlier run printed: it must still be there."),
]


def _who(actor: dict[str, Any]) -> str:
    kind, name = plain(actor.get("kind")), plain(actor.get("id"))
    return name if kind == name else f"{kind} {name}"


def _what(targets: list[str]) -> str:
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"{plain(targets[0])}{more}" if targets else ""


LINES = (
    Column("NUMBER", "number"),
    Column("WHEN", "at", ago),
    Column("WHO", "actor", _who, spell=_who),
    Column("FROM", "address"),
    Column("ACTION", "action"),
    Column("STATUS", "status"),
    Column("TARGET", "targets", _what, yields=True, spell=lambda targets: " ".join(targets)),
)


@verbs.command("list")
def list_lines(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    tenant: OfTenant = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List what was changed, the newest first."""
    wanted = {"actor": actor, "action": action, "target": target, "limit": limit, "cursor": cursor}
    page = open_api(_ascii(tenant)).get("/audit", wanted)
    print_page(page, LINES, as_json=as_json, empty="no lines", more="aurea audit list")


@verbs.command()
def verify(noted: Noted = None, tenant: OfTenant = None, as_json: AsJson = False) -> None:
    """Read every line of the tenant and check that none was altered, taken out or put in; exit 1 at the first that was.

    Prints the head of the trail, alone on standard output. Note it somewhere else: with --head a later run sees also
    that nothing was taken off the end, or written anew from some line on.
    """
    heads = [_read_head(text) for text in noted or ()]
    head = Head(0, "")
    try:
        for good in followed(_lines(open_api(_ascii(tenant))), heads):
            head = good
    except Broken as broken:
        if as_json:
            print_json({"intact": False, "lines": head.number, "detail": str(broken)})
            raise typer.Exit(1) from None
        complain(str(broken), f"good up to line {head.number}; compare with a backup of orchestrator_audit")
    if as_json:
        print_json({"intact": True, "lines": head.number, "head": _spell(head)})
    elif head.number:
        note(f"{head.number} lines are as they were written; the head is")
        answers().print(_spell(head))
    else:
        note("there are no lines yet")


def _lines(api: Api) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = api.get("/audit", {"order": "oldest", "limit": _PAGE, "cursor": cursor})
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _ascii(tenant: str | None) -> str | None:
    if tenant is not None and not (tenant.isascii() and tenant.isprintable()):
        raise typer.BadParameter(f"{tenant!r} names no tenant")
    return tenant


def _spell(head: Head) -> str | None:
    return f"{head.number}:{head.hash}" if head.number else None


def _read_head(text: str) -> Head:
    found = _HEAD.fullmatch(text)
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"{text!r} is not a head: write what `aurea audit verify` printed, NUMBER:HASH")
    return Head(int(found[1]), found[2])
