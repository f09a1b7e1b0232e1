"""`aurea tasks`: list, show, cancel, retry, steps, artifacts, logs, why."""

from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit, TaskIdArgument, read_tags
from app.cli.artifacts import artifacts
from app.cli.client import at, open_api
from app.cli.follow import follow, told
from app.cli.groups import ListingGroup
from app.cli.narration import narration
from app.cli.screen import answers, indented, note, print_json, status_text
from app.cli.tables import (
    Column,
    ago,
    error_text,
    print_page,
    print_record,
    print_table,
    span,
    tag_list,
    to_the_second,
    usd,
)
from app.cli.wording import TaskEvent

verbs = typer.Typer(name="tasks", cls=ListingGroup, help="See and steer tasks. Without a verb: list.")

TASKS = (
    Column("ID", "id"),
    Column("TYPE", "type", yields=True),
    Column("STATUS", "status", status_text),
    Column("QUEUE", "queue"),
    Column("PRI", "priority"),
    Column("TRY", "attempt"),
    Column("CREATED", "created_at", ago),
)
TASK = (
    Column("id", "id"),
    Column("type", "type"),
    Column("status", "status", status_text),
    Column("queue", "queue"),
    Column("priority", "priority"),
    Column("attempt", "attempt"),
    Column("max_retries", "max_retries"),
    Column("timeout", "timeout_seconds", span),
    Column("tags", "tags", tag_list),
    Column("key", "idempotency_key"),
    Column("parent", "parent_id"),
    Column("callback", "callback_url"),
    Column("created", "created_at"),
    Column("due", "run_at"),
    Column("expires", "expires_at"),
    Column("started", "started_at"),
    Column("finished", "finished_at"),
    Column("worker", "worker_id"),
    Column("trace", "trace_id"),
    Column("cost", "cost_usd", lambda amount: usd(amount) if amount else ""),
    Column("progress", "progress"),
    Column("payload", "payload", indented),
    Column("result", "result", indented),
    Column("error", "error", indented),
)
RUNS = (
    Column("ATTEMPT", "attempt"),
    Column("STATUS", "status", status_text),
    Column("STARTED", "started_at", to_the_second),
    Column("FINISHED", "finished_at", to_the_second),
    Column("WORKER", "worker_id", yields=True),
    Column("ERROR", "error", error_text, yields=True),
)
STEPS = (
    Column("STEP", "name", yields=True),
    Column("KIND", "kind"),
    Column("STATUS", "status"),
    Column("AT", "at", to_the_second),
    Column("CHILD", "child_id"),
    Column("UNTIL", "wake_at", to_the_second),
)
WHY = (
    Column("status", "status", status_text),
    Column("cause", "cause"),
    Column("detail", "detail"),
    Column("rank", "rank"),
    Column("busy_workers", "busy_workers"),
    Column("due", "due_at"),
)


@verbs.command("list")
def list_tasks(
    status: Annotated[str | None, typer.Option(help="Only this state.")] = None,
    type_name: Annotated[str | None, typer.Option("--type", help="Only this type.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only this queue.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only with this tag.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="ID", help="Only children of this task.")] = None,
    created_after: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339.")] = None,
    created_before: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339.")] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", "-q", help="Only with this text in the type, the key, the tags or the error."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    pair = None if tag is None else ":".join(*read_tags([tag]).items())
    wanted = {"status": status, "type": type_name, "queue": queue, "tag": pair, "parent_id": parent, "q": search}
    wanted |= {"created_after": created_after, "created_before": created_before}
    page = open_api().get("/tasks", {**wanted, "limit": limit, "cursor": cursor})
    print_page(page, TASKS, as_json=as_json, empty="no tasks", more="aurea tasks list")


@verbs.command()
def show(task_id: TaskIdArgument, as_json: AsJson = False) -> None:
    """Show one task and its attempts."""
    api = open_api()
    task = api.get(at("tasks", task_id))
    print_record(task, TASK, as_json=as_json)
    if not as_json and answers().is_terminal and task["attempt"]:
        answers().print()
        print_table(api.get(at("tasks", task_id, "runs"))["items"], RUNS)


@verbs.command()
def cancel(task_id: TaskIdArgument, as_json: AsJson = False) -> None:
    """Cancel a task, also while it runs."""
    _print_changed(open_api().post(at("tasks", task_id, "cancel"))[0], as_json)


@verbs.command()
def retry(
    task_id: TaskIdArgument,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Do this step and later ones again.")
    ] = None,
    start_over: Annotated[bool, typer.Option("--start-over", help="Do every step again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a task that has ended again, with a full budget of attempts; what it had finished is not done again."""
    wanted = {"from_step": from_step, "start_over": start_over}
    _print_changed(open_api().post(at("tasks", task_id, "retry"), wanted)[0], as_json)


@verbs.command()
def steps(task_id: TaskIdArgument, as_json: AsJson = False) -> None:
    """List what a task has finished or begun for good: steps, child tasks, sleeps."""
    page = open_api().get(at("tasks", task_id, "steps"))
    print_page(page, STEPS, as_json=as_json, empty="no steps", more="aurea tasks steps")


verbs.command()(artifacts)


@verbs.command()
def logs(
    task_id: TaskIdArgument,
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until it ends; exit 3 if it failed.")
    ] = False,
    after: Annotated[str, typer.Option(metavar="EVENT", help="Only events behind this id.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print what a task has told so far, or follow it live."""
    api = open_api()
    if follow_it:
        raise typer.Exit(follow(api, task_id, narration(as_json=as_json), after))
    lines = list(told(api, task_id, after))
    if as_json:
        print_json({"items": lines, "next_cursor": None})
        return
    with narration(as_json=False) as telling:
        for line in lines:
            telling.tell(TaskEvent(line["id"], line["event"], line["data"], line["at"]))
    if not lines:
        note("it has told nothing yet")


@verbs.command()
def why(task_id: TaskIdArgument, as_json: AsJson = False) -> None:
    """Name the first cause why a task does not run."""
    print_record(open_api().get(at("tasks", task_id, "why")), WHY, as_json=as_json)


def _print_changed(task: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(task)
    else:
        print_table([task], TASKS)
