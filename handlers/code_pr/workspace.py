"""The working copy: the files of one commit in memory, and what a model made of them.

It has no folder of its own, so no path, link or trick of one can lead out of it. The same calls in the same order on
the same commit give the same copy, which is how a copy that died with its worker is made again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from handlers.code_pr.bounds import Bounds, split_path

PLAIN, EXECUTABLE = "100644", "100755"
MOST_WRITTEN_BYTES = 512 * 1024
"""Of one file."""
MOST_CHANGED_BYTES = 4 * 2**20
"""Of all files together."""


class Mistake(Exception):
    """Something that a model asked for and that cannot be done; it is told why."""


@dataclass(frozen=True, slots=True)
class File:
    mode: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One file of the commit to be. `file` is None when it was deleted."""

    path: str
    kind: str
    file: File | None


class WorkingCopy:
    """`left_out` are the paths that the commit has and the copy has not, each with the reason."""

    def __init__(
        self, files: Mapping[str, File], left_out: Mapping[str, str], bounds: Bounds, most_changed_files: int
    ) -> None:
        self._base = dict(files)
        self._now = dict(files)
        self._left_out = left_out
        self._bounds = bounds
        self._most_changed_files = most_changed_files

    def paths(self) -> list[str]:
        """Return what may be read, in order."""
        return sorted(path for path in self._now if self._bounds.allow(path))

    def files(self) -> Mapping[str, File]:
        """Return everything, also what lies outside the bounds: a check needs it."""
        return self._now

    def missing(self) -> Iterator[tuple[str, str]]:
        """Return what is there and cannot be read, with the reason."""
        return ((path, why) for path, why in sorted(self._left_out.items()) if self._bounds.allow(path))

    def read(self, path: str) -> str:
        """Raises Mistake."""
        return _decoded(path, self._held(path).content)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Return every readable text file with its content."""
        for path in self.paths():
            try:
                yield path, self.read(path)
            except Mistake:
                continue

    def write(self, path: str, content: str) -> None:
        """Make a file, or replace its whole content. Its mode and its line endings stay. Raises Mistake."""
        path = self._changeable(path)
        held = self._now.get(path)
        if held is None:
            self._check_room_for(path)
        elif b"\r\n" in held.content:
            content = _with_crlf(content)
        self._put(path, File(held.mode if held else PLAIN, _encoded(path, content)))

    def edit(self, path: str, old: str, new: str, *, everywhere: bool = False) -> int:
        """Replace a text that stands in the file exactly once, or everywhere; return how often. Raises Mistake."""
        path = self._changeable(path)
        held = self._held(path)
        text = _decoded(path, held.content)
        if "\r\n" in text:  # models write plain line ends whatever the file has
            old, new = _with_crlf(old), _with_crlf(new)
        found = text.count(old) if old else 0
        if found == 0:
            raise Mistake(f"the text to replace does not stand in {path}: read the file and copy it exactly")
        if found > 1 and not everywhere:
            raise Mistake(f"the text to replace stands {found} times in {path}: give more lines around it")
        self._put(path, File(held.mode, _encoded(path, text.replace(old, new))))
        return found

    def delete(self, path: str) -> None:
        """Raises Mistake."""
        path = self._changeable(path)
        self._held(path)
        self._put(path, None)

    def changes(self) -> list[Change]:
        """Return what differs from the commit, in order of path."""
        found = []
        for path in sorted({*self._base, *self._now}):
            before, after = self._base.get(path), self._now.get(path)
            if before != after:
                kind = "added" if before is None else "deleted" if after is None else "modified"
                found.append(Change(path, kind, after))
        return found

    def _held(self, path: str) -> File:
        path = self._readable(path)
        held = self._now.get(path)
        if held is not None:
            return held
        if path in self._left_out:
            raise Mistake(f"{path} is {self._left_out[path]}: it can neither be read nor changed")
        raise Mistake(f"there is no file {path}")

    def _readable(self, path: str) -> str:
        path = path.removeprefix("./")
        if split_path(path) is None:
            raise Mistake(f"{path[:200]!r} is not a path inside the repository: write it relative to its root")
        if not self._bounds.allow(path):
            raise Mistake(f"{path} lies outside of what this task may read: {self._bounds}")
        return path

    def _changeable(self, path: str) -> str:
        path = self._readable(path)
        if not self._bounds.allow_change(path):
            raise Mistake(f"{path} may be read but not changed in this task")
        if path in self._left_out:
            raise Mistake(f"{path} is {self._left_out[path]}: it can neither be read nor changed")
        return path

    def _check_room_for(self, path: str) -> None:
        """A new file may neither stand where a folder is, nor below a file or a link."""
        parts = path.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        for other in (*self._now, *self._left_out):
            if other in above:
                raise Mistake(f"{other} is {self._left_out.get(other, 'a file')}: nothing can stand below it")
            if other.startswith(f"{path}/"):
                raise Mistake(f"{path} is a folder")

    def _put(self, path: str, file: File | None) -> None:
        before = self._now
        self._now = {**before, path: file} if file else {name: held for name, held in before.items() if name != path}
        try:
            self._check_size()
        except Mistake:
            self._now = before
            raise

    def _check_size(self) -> None:
        changes = self.changes()
        if len(changes) > self._most_changed_files:
            raise Mistake(f"at most {self._most_changed_files} files may be changed in this task")
        if sum(len(change.file.content) for change in changes if change.file) > MOST_CHANGED_BYTES:
            raise Mistake(f"the changed files would have more than {MOST_CHANGED_BYTES} bytes together")


def _encoded(path: str, content: str) -> bytes:
    try:
        encoded = content.encode()
    except UnicodeEncodeError:
        raise Mistake("the content holds half a character (a lone surrogate)") from None
    if b"\0" in encoded:
        raise Mistake("the content holds the character U+0000: only text can be written")
    if len(encoded) > MOST_WRITTEN_BYTES:
        raise Mistake(f"{path} would have {len(encoded)} bytes; at most {MOST_WRITTEN_BYTES} can be written")
    return encoded


def _decoded(path: str, content: bytes) -> str:
    if b"\0" not in content:
        try:
            return content.decode()
        except UnicodeDecodeError:
            pass
    raise Mistake(f"{path} is not text in UTF-8")


def _with_crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")
