"""`aurea tasks artifacts`: the files that a task kept, and one of them fetched."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.arguments import AsJson, Cursor, Limit, TaskIdArgument
from app.cli.client import Api, at, open_api
from app.cli.screen import answers, complain, plain
from app.cli.tables import Column, print_page, to_the_second

ARTIFACTS = (
    Column("NAME", "name", yields=True),
    Column("BYTES", "size_bytes"),
    Column("CONTENT TYPE", "content_type", yields=True),
    Column("BUCKET", "bucket"),
    Column("CREATED", "created_at", to_the_second),
    Column("ID", "id"),
)
Save = Annotated[str | None, typer.Option(metavar="NAME", help="Fetch the file of this name.")]
To = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Where --save puts it: a file, or a folder. Without it: here.")
]


def artifacts(
    task_id: TaskIdArgument,
    save: Save = None,
    to: To = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List the files that a task kept, oldest first; with --save fetch one."""
    api, files = open_api(), at("tasks", task_id, "artifacts")
    if save is None:
        if to is not None:
            raise typer.BadParameter("say which file: --save NAME", param_hint="--to")
        page = api.get(files, {"limit": limit, "cursor": cursor})
        print_page(page, ARTIFACTS, as_json=as_json, empty="no files", more=f"aurea tasks artifacts {task_id}")
        return
    found = next((each for each in _all(api, files) if each["name"] == save), None)
    if found is None:
        complain(f"the task has no file {save!r}", f"what it has: aurea tasks artifacts {task_id}")
    target = to or Path(save)
    if to is not None and to.is_dir():
        target = to / save
    _fetch(api, at("tasks", task_id, "artifacts", found["id"]), found, target)
    answers().print(plain(f"{target}: {found['size_bytes']} bytes"))


def _all(api: Api, files: str) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        page = api.get(files, {"limit": 200, "cursor": cursor})
        yield from page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return


def _fetch(api: Api, path: str, found: Mapping[str, Any], target: Path) -> None:
    """Write a file whole or not at all: what is there already is replaced when the last byte has come."""
    growing = target.with_name(f".{os.getpid()}.part")
    try:
        with growing.open("xb") as file:
            for chunk in api.download(path):
                file.write(chunk)
            size = file.tell()
        if size != found["size_bytes"]:
            complain(f"{size} of {found['size_bytes']} bytes came: the task may have replaced the file", "try again")
        growing.replace(target)
    except (OSError, ValueError) as error:  # no such folder, or a name that is none
        complain(f"{target} cannot be written: {getattr(error, 'strerror', None) or error}", "choose another with --to")
    finally:
        with suppress(OSError, ValueError):
            growing.unlink()
