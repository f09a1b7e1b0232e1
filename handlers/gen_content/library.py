"""Where templates are found by name: the built-in ones beside this module, and a folder of the user's own.

A file there may not have the name of a built-in one, so that a name means the same in every process, also in the one
that checks payloads.
"""

from pathlib import Path

from handlers.gen_content.template import ContentTemplate, FrontMatter, read_front, read_template
from orchestrator.sdk import Terminal

FOLDER_VARIABLE = "AUREA_CONTENT_TEMPLATES"
SUFFIX = ".md"
_BUILT_IN = Path(__file__).parent / "templates"


def front_of_built_in(name: str) -> FrontMatter | None:
    """Return what a built-in template declares; None when there is none of this name."""
    file = _BUILT_IN / f"{name}{SUFFIX}"
    return read_front(file) if file.is_file() else None


def find(name: str, folder: str | None) -> ContentTemplate:
    """Return a built-in template, or one of that folder. Raises Terminal naming file and line, or what there is."""
    places = [_BUILT_IN] if folder is None else [_BUILT_IN, Path(folder)]
    try:
        if not places[-1].is_dir():
            raise Terminal(f"{FOLDER_VARIABLE} names {folder}, which is no folder: make it, or correct the variable")
        files = [file for place in places if (file := place / f"{name}{SUFFIX}").is_file()]
        if not files:
            raise Terminal(_unknown(name, places))
        if len(files) > 1:
            raise Terminal(f"{files[1]} has the name of a built-in template: rename it")
        return read_template(files[0])
    except OSError as error:
        raise Terminal(f"the template {name!r} cannot be read: {error.strerror}") from None


def _unknown(name: str, places: list[Path]) -> str:
    known = sorted(file.stem for place in places for file in place.glob(f"*{SUFFIX}"))
    more = f"write {places[1] / name}{SUFFIX}" if len(places) > 1 else f"set {FOLDER_VARIABLE} to a folder of your own"
    return f"there is no template {name!r}; there are {', '.join(known)}; or {more}"
