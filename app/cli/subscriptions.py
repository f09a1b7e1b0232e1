"""`aurea subscriptions`: who is told of final states, by webhooks that go out."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit, read_span
from app.cli.client import at, open_api
from app.cli.groups import ListingGroup
from app.cli.screen import answers, note, plain, print_json, status_text
from app.cli.tables import Column, ago, error_text, print_page, print_record, to_the_second
from orchestrator.clock import SystemClock

verbs = typer.Typer(
    name="subscriptions", cls=ListingGroup, help="Have final states told by webhook. Without a verb: list."
)


def _words(names: list[str]) -> str:
    return ", ".join(plain(name) for name in names)


def _standing(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


SUBSCRIPTIONS = (
    Column("ID", "id"),
    Column("STATE", "enabled", _standing, spell=_standing),
    Column("URL", "url", yields=True),
    Column("TYPES", "types", _words, yields=True, spell=_words),
    Column("STATES", "states", _words, spell=_words),
    Column("CREATED", "created_at", ago),
)
SUBSCRIPTION = (
    Column("id", "id"),
    Column("url", "url"),
    Column("types", "types", _words),
    Column("states", "states", _words),
    Column("description", "description"),
    Column("state", "enabled", _standing),
    Column("disabled", "disabled_at", to_the_second),
    Column("because", "disabled_reason"),
    Column("failures", "failures"),
    Column("rotated", "rotated_at", to_the_second),
    Column("created", "created_at", to_the_second),
    Column("secret", "secret"),
)
DELIVERIES = (
    Column("ID", "id"),
    Column("STATUS", "status", status_text),
    Column("EVENT", "event"),
    Column("TASK", "task_id"),
    Column("TRY", "attempt"),
    Column("NEXT", "next_attempt_at", ago),
    Column("CREATED", "created_at", ago),
    Column("ANSWER", "answer.status"),
    Column("ERROR", "error", error_text, yields=True, spell=error_text),
)

Id = Annotated[str, typer.Argument(metavar="ID", help="A subscription's id.")]


@verbs.command("list")
def list_subscriptions(as_json: AsJson = False) -> None:
    """List them, newest first."""
    page = open_api().get("/subscriptions")
    print_page(page, SUBSCRIPTIONS, as_json=as_json, empty="no subscriptions: aurea subscriptions create URL")


@verbs.command()
def show(wanted: Id, as_json: AsJson = False) -> None:
    """Show one."""
    print_record(open_api().get(at("subscriptions", wanted)), SUBSCRIPTION, as_json=as_json)


@verbs.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to POST.")],
    types: Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")] = None,
    states: Annotated[list[str] | None, typer.Option("--state", help="Only this state; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="A note for people.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have final states told to a URL, and show the secret that signs them."""
    wanted = {"url": url, "types": types or None, "states": states or None, "description": description}
    _print_shown(open_api().post("/subscriptions", wanted)[0], as_json)


@verbs.command()
def delete(wanted: Id) -> None:
    """Tell it no more; what waits to be delivered is cancelled."""
    open_api().delete(at("subscriptions", wanted))
    answers().print(plain(f"{wanted} deleted"))


@verbs.command()
def enable(wanted: Id, as_json: AsJson = False) -> None:
    """Go on with one that was disabled; `replay` tells what it missed."""
    print_record(open_api().post(at("subscriptions", wanted, "enable"))[0], SUBSCRIPTION, as_json=as_json)


@verbs.command()
def rotate(wanted: Id, as_json: AsJson = False) -> None:
    """Make a new secret and show it; the one before signs on for 24 hours."""
    _print_shown(open_api().post(at("subscriptions", wanted, "rotate"))[0], as_json)


@verbs.command()
def deliveries(
    wanted: Id,
    status: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List what it was told, newest first, and what it answered."""
    sent = {"status": status, "limit": limit, "cursor": cursor}
    page = open_api().get(at("subscriptions", wanted, "deliveries"), sent)
    more = f"aurea subscriptions deliveries {wanted}"
    print_page(page, DELIVERIES, as_json=as_json, empty="no deliveries", more=more)


@verbs.command()
def replay(
    wanted: Id,
    ids: Annotated[list[str] | None, typer.Argument(metavar="DELIVERY", help="Deliveries to run again.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME|SPAN", help="RFC 3339, or a span back: 2d.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell again: what did not arrive since a moment, or some deliveries."""
    if bool(ids) == (since is not None):
        raise typer.BadParameter("say which: ids of deliveries, or --since")
    body: dict[str, Any] = {"ids": ids} if ids else {"since": _moment(since or "")}
    answer, _ = open_api().post(at("subscriptions", wanted, "replay"), body)
    if as_json:
        print_json(answer)
    else:
        answers().print(
            f"{answer['replayed']} deliveries run again, {answer['examined']} endings looked at: "
            "those that it has no delivery of are told within seconds"
        )


@verbs.command("test")
def try_out(wanted: Id, as_json: AsJson = False) -> None:
    """Send it an event that means nothing."""
    delivery, _ = open_api().post(at("subscriptions", wanted, "test"))
    if as_json:
        print_json(delivery)
    else:
        answers().print(plain(delivery["id"]))
        if answers().is_terminal:
            note(f"the delivery is on its way; what was answered: aurea subscriptions deliveries {plain(wanted)}")


@verbs.command("secret")
def callback_secret(as_json: AsJson = False) -> None:
    """Make a new secret for what goes to callback URLs of tasks, and show it; the one before signs on for 24 hours."""
    shown, _ = open_api().post("/callbacks/secret")
    if as_json:
        print_json(shown)
    else:
        answers().print(plain(shown["secret"]))


def _moment(text: str) -> str:
    """A span counts back from now."""
    if "T" in text:
        return text
    return (SystemClock().now() - timedelta(seconds=read_span(text))).isoformat()


def _print_shown(shown: dict[str, Any], as_json: bool) -> None:
    print_record(shown, SUBSCRIPTION, as_json=as_json)
    if not as_json:
        note("keep the secret: it is not shown again")
