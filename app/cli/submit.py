"""`aurea submit`: create a task, and wait for it or watch it if asked to."""

from math import ceil
from typing import Annotated, Any

import orjson
import typer

from app.cli.arguments import AsJson, read_payload, read_span, read_tags
from app.cli.client import Api, at, open_api
from app.cli.follow import Verdict, follow
from app.cli.narration import Silent, narration
from app.cli.screen import answers, note, print_json
from app.cli.tables import print_record
from app.cli.tasks import TASK

verbs = typer.Typer()

Payload = Annotated[str | None, typer.Option(metavar="JSON|@FILE|-", help="The payload: JSON, a file, or - for stdin.")]
Priority = Annotated[int | None, typer.Option(min=0, max=9, help="0 is the most urgent, 9 the least; default 5.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key gives the same task.")]
KeyLifetime = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN|until_final|forever",
        help="For how long the key gives the same task: 1h30m, until the task has ended, or, without this, for ever.",
    ),
]
Delay = Annotated[str | None, typer.Option(metavar="SPAN", help="Start no sooner than in 10s, 5m, 1h30m, 2d.")]
Queue = Annotated[str | None, typer.Option(help="The queue to stand in.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; may be repeated.")]
MaxRetries = Annotated[int | None, typer.Option(min=0, help="Retries after the first attempt.")]
Timeout = Annotated[str | None, typer.Option(metavar="SPAN", help="The most that one attempt may take.")]
Callback = Annotated[str | None, typer.Option(metavar="URL", help="Told of the final state, signed.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 0 only if it succeeded, else 3.")]
Follow = Annotated[bool, typer.Option("--follow", help="Print its events as they come; exit codes as --wait.")]


@verbs.command()
def submit(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="A task type: see `aurea handlers`.")],
    payload: Payload = None,
    priority: Priority = None,
    key: Key = None,
    key_lifetime: KeyLifetime = None,
    delay: Delay = None,
    queue: Queue = None,
    tag: Tags = None,
    max_retries: MaxRetries = None,
    timeout: Timeout = None,
    callback: Callback = None,
    wait: Wait = False,
    follow_it: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Create a task."""
    if wait and follow_it:
        raise typer.BadParameter("--follow waits as well: give one of --wait and --follow")
    request = {
        "type": type_name,
        "payload": None if payload is None else orjson.Fragment(read_payload(payload)),
        "priority": priority,
        "idempotency_key": key,
        "key_lifetime": _read_lifetime(key, key_lifetime),
        "delay_seconds": None if delay is None else read_span(delay),
        "queue": queue,
        "tags": read_tags(tag or ()) or None,
        "max_retries": max_retries,
        "timeout_seconds": None if timeout is None else read_span(timeout),
        "callback_url": callback,
    }
    api = open_api()
    task, headers = api.post("/tasks", {name: value for name, value in request.items() if value is not None})
    if headers.get("Idempotent-Replayed"):
        note(f"the key {key!r} was used before: this is the task of that time")
    if follow_it or wait:
        _tell_id(task, as_json)
        told = _wait(api, task["id"], as_json) if wait else follow(api, task["id"], narration(as_json=as_json))
        raise typer.Exit(told)
    print_created(task, as_json)


def _read_lifetime(key: str | None, text: str | None) -> str | int | None:
    """In whole seconds, as the API takes it, and never shorter than it was meant."""
    if text is None:
        return None
    if key is None:
        raise typer.BadParameter("--key-lifetime is that of a key: give --key as well")
    return text if text in ("until_final", "forever") else ceil(read_span(text))


def _wait(api: Api, task_id: str, as_json: bool) -> Verdict:
    verdict = follow(api, task_id, Silent())
    if verdict is not Verdict.INTERRUPTED:
        print_record(api.get(at("tasks", task_id)), TASK, as_json=as_json)
    return verdict


def _tell_id(task: dict[str, Any], as_json: bool) -> None:
    """Name the task before waiting, so that it can be found again however the waiting ends."""
    if not as_json:
        note(f"task {task['id']} is {task['status']}")


def print_created(task: dict[str, Any], as_json: bool) -> None:
    """The id alone is the answer, so that `id=$(aurea submit ...)` works."""
    if as_json:
        print_json(task)
        return
    answers().print(task["id"])
    if answers().is_terminal:
        note(f"{task['status']} in {task['queue']}; watch it: aurea tasks logs {task['id']} --follow")
