"""The tools a model works with: their shapes as it sees them, and what each does to the working copy.

A call that does not fit or cannot be done is answered with the reason and changes nothing. Answers are bounded.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.code_pr.workspace import Mistake, WorkingCopy
from orchestrator.sdk import Tool

MOST_LISTED = 500
MOST_MATCHES = 100
MOST_READ_CHARACTERS = 40_000
LONGEST_LINE = 300
"""Characters shown of a line that was found."""

Path = Annotated[str, Field(description="relative to the repository's root")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListFiles(_Arguments):
    """List the files of the repository, optionally those of one folder."""

    folder: Annotated[str, Field(description="a folder; empty for all")] = ""


class ReadFile(_Arguments):
    """Read a text file, whole or from one line on."""

    path: Path
    first_line: Annotated[int, Field(ge=1)] = 1
    lines: Annotated[int, Field(ge=1, le=5_000)] = 1_000


class Search(_Arguments):
    """Find the lines that hold a text, as it is written: it is no regular expression."""

    text: Annotated[str, Field(min_length=1)]
    glob: Annotated[str, Field(description="only in files whose path matches, such as *.py; empty for all")] = ""
    ignore_case: bool = False


class EditFile(_Arguments):
    """Replace a text in a file. The old text has to be copied exactly, and to stand there once, or use everywhere."""

    path: Path
    old: str
    new: str
    everywhere: bool = False


class WriteFile(_Arguments):
    """Make a new file, or replace the whole content of one. Prefer edit_file for changes."""

    path: Path
    content: str


class DeleteFile(_Arguments):
    """Delete a file."""

    path: Path


class RunCheck(_Arguments):
    """Run the project's check on the files as they are now, and see its output."""


class Done(_Arguments):
    """Finish. Call it when the work is complete, or when it cannot be done: then say why, and change nothing."""

    title: Annotated[str, Field(description="of the pull request, in one line")]
    summary: Annotated[str, Field(description="what was changed and why, for the reviewer, in markdown")]


_TOOLS: dict[str, type[_Arguments]] = {
    "list_files": ListFiles,
    "read_file": ReadFile,
    "search": Search,
    "edit_file": EditFile,
    "write_file": WriteFile,
    "delete_file": DeleteFile,
    "run_check": RunCheck,
    "done": Done,
}


@cache
def tools(with_check: bool) -> tuple[Tool, ...]:
    shown = [(name, kind) for name, kind in _TOOLS.items() if with_check or kind is not RunCheck]
    return tuple(Tool(name, " ".join((kind.__doc__ or "").split()), _schema(kind)) for name, kind in shown)


def read_call(name: str, arguments: dict[str, Any]) -> _Arguments:
    """Return what a model asks for. Raises Mistake."""
    kind = _TOOLS.get(name)
    if kind is None:
        raise Mistake(f"there is no tool {name[:100]!r}; there are {', '.join(_TOOLS)}")
    try:
        return kind.model_validate(arguments)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        listed = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in found[:5])
        raise Mistake(f"the arguments do not fit {name}: {listed}") from None


def use(copy: WorkingCopy, asked: _Arguments) -> str:
    """Do what was asked of the copy and return the answer. Raises Mistake."""
    return _ACTS[type(asked)](copy, asked)


def _list(copy: WorkingCopy, asked: ListFiles) -> str:
    folder = asked.folder.removeprefix("./").strip("/")
    within = f"{folder}/" if folder not in ("", ".") else ""
    found = [path for path in copy.paths() if path.startswith(within)]
    found += [f"{path} ({why}: cannot be read)" for path, why in copy.missing() if path.startswith(within)]
    if not found:
        raise Mistake(f"there are no files below {asked.folder[:200]!r}")
    return "\n".join(found[:MOST_LISTED]) + _more(len(found) - MOST_LISTED, "files: name a folder")


def _read(copy: WorkingCopy, asked: ReadFile) -> str:
    lines = copy.read(asked.path).splitlines(keepends=True)
    first = asked.first_line - 1
    if first and first >= len(lines):
        raise Mistake(f"{asked.path} has {len(lines)} lines")
    shown = lines[first : first + asked.lines]
    text = "".join(shown)
    if len(text) > MOST_READ_CHARACTERS:
        text = text[:MOST_READ_CHARACTERS]
        shown = text.splitlines()
    last = first + len(shown)
    return f"{asked.path}, lines {asked.first_line} to {last} of {len(lines)}:\n{text}"


def _search(copy: WorkingCopy, asked: Search) -> str:
    wanted = asked.text.casefold() if asked.ignore_case else asked.text
    found = []
    for path, text in copy.texts():
        if asked.glob and not fnmatchcase(path, asked.glob):
            continue
        if wanted not in (text.casefold() if asked.ignore_case else text):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if wanted in (line.casefold() if asked.ignore_case else line):
                found.append(f"{path}:{number}: {line.strip()[:LONGEST_LINE]}")
        if len(found) > MOST_MATCHES:
            break
    if not found:
        return "nothing found"
    return "\n".join(found[:MOST_MATCHES]) + _more(len(found) - MOST_MATCHES, "lines at least: search more narrowly")


def _edit(copy: WorkingCopy, asked: EditFile) -> str:
    times = copy.edit(asked.path, asked.old, asked.new, everywhere=asked.everywhere)
    return f"{asked.path} changed" + (f" in {times} places" if times > 1 else "")


def _write(copy: WorkingCopy, asked: WriteFile) -> str:
    copy.write(asked.path, asked.content)
    return f"{asked.path} written"


def _delete(copy: WorkingCopy, asked: DeleteFile) -> str:
    copy.delete(asked.path)
    return f"{asked.path} deleted"


def _more(count: int, what: str) -> str:
    return f"\n... and {count} more {what}" if count > 0 else ""


_ACTS: dict[type[_Arguments], Callable[[WorkingCopy, Any], str]] = {
    ListFiles: _list,
    ReadFile: _read,
    Search: _search,
    EditFile: _edit,
    WriteFile: _write,
    DeleteFile: _delete,
}


def _schema(kind: type[_Arguments]) -> dict[str, Any]:
    """The arguments as JSON Schema, without what only people read."""
    schema = kind.model_json_schema()
    properties = {
        name: {key: value for key, value in each.items() if key != "title"}
        for name, each in schema.get("properties", {}).items()
    }
    required = schema.get("required", [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
