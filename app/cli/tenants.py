"""`aurea tenants`: how much of the system a tenant may use."""

from contextlib import suppress
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit
from app.cli.client import at, open_api
from app.cli.groups import ListingGroup
from app.cli.screen import print_json
from app.cli.tables import Column, ago, print_page, print_table, usd

verbs = typer.Typer(
    name="tenants", cls=ListingGroup, help="See tenants, and set what each may use. Without a verb: list."
)

_OF_TYPES = ("tasks_per_day", "running", "queued", "usd_per_day")
_LIMITS = (*_OF_TYPES, "requests_per_minute")
_COLUMNS = (
    Column("WHOSE", "whose"),
    Column("TASKS/DAY", "tasks_per_day"),
    Column("RUNNING", "running"),
    Column("QUEUED", "queued"),
    Column("USD/DAY", "usd_per_day"),
    Column("REQUESTS/MIN", "requests_per_minute"),
)
_LISTED = (
    Column("TENANT", "id"),
    *_COLUMNS[1:],
    Column("LIMITED TYPES", "types", lambda types: " ".join(types), yields=True, spell=lambda types: " ".join(types)),
    Column("SPENT TODAY", "spent_usd", usd),
    Column("KEYS", "keys"),
    Column("LAST TASK", "last_task_at", ago),
)
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Its name.")]
Limits = Annotated[
    list[str],
    typer.Argument(
        metavar="LIMIT=NUMBER...",
        help="tasks_per_day, running, queued, usd_per_day, requests_per_minute; of one type of its tasks TYPE.running "
        "and so on, but for requests_per_minute. `none` takes a limit away; those not named stay.",
    ),
]


@verbs.command("list")
def list_tenants(limit: Limit = 50, cursor: Cursor = None, as_json: AsJson = False) -> None:
    """List tenants that have limits, API keys or tasks that are kept. An empty place is no limit."""
    page = open_api().get("/tenants", {"limit": limit, "cursor": cursor})
    print_page(page, _LISTED, as_json=as_json, empty="no tenants", more="aurea tenants list")


@verbs.command()
def show(tenant: Tenant, as_json: AsJson = False) -> None:
    """Show a tenant's limits, and those of single types of its tasks. An empty place is no limit."""
    _print(open_api().get(at("tenants", tenant)), as_json)


@verbs.command("set")
def set_limits(tenant: Tenant, limits: Limits, as_json: AsJson = False) -> None:
    """Change limits of a tenant: aurea tenants set acme running=4 gen_content.running=1 usd_per_day=none."""
    api = open_api()
    wanted = {name: value for name, value in api.get(at("tenants", tenant)).items() if name != "id"}
    for limit in limits:
        _change(wanted, limit)
    _print(api.put(at("tenants", tenant), wanted), as_json)


def _change(wanted: dict[str, Any], limit: str) -> None:
    path, _, text = limit.partition("=")
    type_name, _, name = path.rpartition(".")
    known = _OF_TYPES if type_name else _LIMITS
    if name not in known:
        raise typer.BadParameter(f"{path!r} is no limit: there are {', '.join(known)}")
    holder = wanted["types"].setdefault(type_name, {}) if type_name else wanted
    holder[name] = _read(limit, name, text)


def _read(limit: str, name: str, text: str) -> float | int | None:
    if text == "none":
        return None
    with suppress(ValueError):
        return float(text) if name == "usd_per_day" else int(text)
    raise typer.BadParameter(f"{limit!r} sets no limit: write {name}=NUMBER, or {name}=none")


def _print(tenant: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(tenant)
        return
    types = [{"whose": f"{tenant['id']}: {name}", **own} for name, own in tenant["types"].items()]
    print_table([{"whose": tenant["id"], **tenant}, *types], _COLUMNS)
