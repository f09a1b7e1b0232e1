"""`aurea budget`: what models cost today, and what they may."""

from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson
from app.cli.client import open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, note, print_json
from app.cli.tables import Column, ago, print_table, usd


class _ShowingGroup(ListingGroup):
    first = "show"


verbs = typer.Typer(name="budget", cls=_ShowingGroup, help="See and limit what models cost. Without a verb: show.")


BUDGET = (
    Column("WHOSE", "whose"),
    Column("MODEL", "model", yields=True),
    Column("CALLS", "calls"),
    Column("SPENT", "spent_usd", usd),
    Column("RESERVED", "reserved_usd", usd),
    Column("LIMIT", "limit_usd", usd),
)
Amount = Annotated[str, typer.Argument(metavar="USD", help="Dollars a day. `none` takes the limit away.")]
WholeSystem = Annotated[bool, typer.Option("--system", help="The limit of all tenants together: the admin's.")]


@verbs.command()
def show(as_json: AsJson = False) -> None:
    """Show today's money: spent, reserved for calls under way, the limit, and the parts of models and types."""
    budget = open_api().get("/budget")
    if as_json:
        print_json(budget)
        return
    types = [{**sums, "whose": f"{budget['tenant']}: {sums['type']}"} for sums in budget["types"]]
    of_system = _rows("system", budget["system"]) if budget["system"] else ()
    print_table([*_rows(budget["tenant"], budget), *types, *of_system], BUDGET)
    note(f"a new day begins {ago(budget['resets_at'])}, at midnight UTC")


@verbs.command("set")
def set_limit(amount: Amount, system: WholeSystem = False, as_json: AsJson = False) -> None:
    """Limit what the tenant, or the whole system, may spend on models in a day.

    With `none` a tenant is bound by the system's limit alone, and the system by MODEL_DAILY_BUDGET_USD again.
    """
    wanted = {"usd_per_day": _read_amount(amount), "scope": "system" if system else "tenant"}
    budget = open_api().put("/budget", wanted)
    if as_json:
        print_json(budget)
        return
    limit = (budget["system"] if system else budget)["limit_usd"]
    whose = "the whole system" if system else budget["tenant"]
    answers().print(f"{whose} may spend {'what it wants' if limit is None else usd(limit)} a day")


def _rows(whose: str, account: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sum, then a row for each model."""
    yield {**account, "whose": whose, "model": None, "calls": sum(use["calls"] for use in account["models"])}
    for use in account["models"]:
        yield {**use, "whose": whose, "model": f"{use['provider']}/{use['model']}"}


def _read_amount(text: str) -> float | None:
    if text == "none":
        return None
    with suppress(ValueError):
        amount = float(text.removeprefix("$"))
        if isfinite(amount):
            return amount
    raise typer.BadParameter(f"{text!r} is not an amount: write dollars a day, like 25 or 0.5, or none")
