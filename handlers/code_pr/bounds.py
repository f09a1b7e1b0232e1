"""Which paths a task may read and change. A path is text from a model or an API: nothing here touches a disk."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

LONGEST_PATH = 1_024
MOST_DOUBLE_STARS = 3
"""In one glob: each may try every depth."""
AUTOMATION = ".github"
"""What GitHub itself runs. A change there could reach the repository's secrets, so it has to be asked for by name."""


def split_path(path: str) -> tuple[str, ...] | None:
    """Return the parts of a path inside a repository, or None when it is not one.

    Refused are absolute paths, `.` and `..`, `.git`, empty parts, backslashes and control characters.
    """
    parts = tuple(path.split("/"))
    if len(path) > LONGEST_PATH or "\\" in path or not path.isprintable():
        return None
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        return None
    return parts


def check_glob(glob: str) -> None:
    """Raises ValueError when it is not a relative glob."""
    parts = glob.split("/")
    if not glob or len(glob) > 200 or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{glob[:200]!r} is not a glob inside the repository: write it as src/** or docs/*.md")
    if parts.count("**") > MOST_DOUBLE_STARS:
        raise ValueError(f"{glob!r} has more than {MOST_DOUBLE_STARS} parts that are **")


class Bounds:
    """The globs of a task. None at all bound nothing."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = [glob.split("/") for glob in globs]
        self._automation = any(glob[0] == AUTOMATION for glob in self._globs)

    def __str__(self) -> str:
        return ", ".join("/".join(glob) for glob in self._globs) or "the whole repository"

    def allow(self, path: str) -> bool:
        """Whether the path may be read."""
        parts = path.split("/")
        return not self._globs or any(_matches(glob, parts) for glob in self._globs)

    def allow_change(self, path: str) -> bool:
        """Whether it may be changed too."""
        return self.allow(path) and (self._automation or path.split("/")[0].lower() != AUTOMATION)


def _matches(glob: Sequence[str], parts: Sequence[str]) -> bool:
    """Match part by part. A glob that ends in a plain name stands for a folder with all that is below it, too."""
    if not glob or not parts:
        return not parts and all(each == "**" for each in glob)
    if glob[0] == "**":
        return _matches(glob[1:], parts) or _matches(glob, parts[1:])
    if not fnmatchcase(parts[0], glob[0]):
        return False
    return (len(glob) == 1 and glob[0] == parts[0]) or _matches(glob[1:], parts[1:])
