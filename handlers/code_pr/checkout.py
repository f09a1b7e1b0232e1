"""Taking the working copy: the commit's list of files, and their contents from its archive.

The list is the truth: each content has to hash to what the list says. What the archive has not, or has changed
(`export-ignore`, `export-subst`), is fetched file by file. Links and submodules are never followed, only named.
"""

import asyncio
import binascii
import io
import tarfile
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from handlers.code_pr.bounds import Bounds, split_path
from handlers.code_pr.github import GitHub
from handlers.code_pr.payload import MIB, CodeChange
from handlers.code_pr.workspace import EXECUTABLE, PLAIN, File, WorkingCopy
from orchestrator.sdk import Retry, Terminal

MOST_FILE_BYTES = 2 * MIB
"""Larger files are named in the list and left out of the copy."""
MOST_ARCHIVE_BYTES = 200 * MIB
"""Of all files of the commit, before compression. Beyond it only single files are fetched."""
FEW = 20
"""So many files are fetched one by one, without the archive."""
MOST_SINGLE_FILES = 400
"""Fetched one by one in one go: GitHub allows some hundreds of requests a minute."""
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the commit as the list names it."""

    path: str
    mode: str
    sha: str
    size: int


async def take_copy(github: GitHub, name: str, commit: str, tree: str, payload: CodeChange) -> WorkingCopy:
    """Return the copy of a commit. Raises Terminal when it is larger than the payload allows, and as GitHub does."""
    bounds = Bounds(payload.paths)
    entries = await _list(github, name, tree)
    wanted, left_out = _sort(entries, None if payload.check else bounds)
    _check_limits([each for each in wanted if bounds.allow(each.path)], wanted, payload)
    contents = await _contents(github, name, commit, wanted, sum(entry.get("size", 0) for entry in entries))
    files = {each.path: File(each.mode, contents[each.path]) for each in wanted}
    return WorkingCopy(files, left_out, bounds, payload.max_changed_files)


async def _list(github: GitHub, name: str, tree: str) -> list[dict[str, Any]]:
    answer = await github.get(f"repos/{name}/git/trees/{tree}", "list the files", params={"recursive": "1"})
    if answer["truncated"]:
        raise Terminal(f"{name} has more files than GitHub lists at once: it is too large for this handler")
    return [entry for entry in answer["tree"] if entry["type"] != "tree"]


def _sort(entries: list[dict[str, Any]], bounds: Bounds | None) -> tuple[list[Listed], dict[str, str]]:
    """Return what to fetch, and what not with the reason."""
    wanted, left_out = [], {}
    for entry in entries:
        path, mode = entry["path"], entry["mode"]
        if bounds is not None and not bounds.allow(path) and mode in (PLAIN, EXECUTABLE):
            continue
        if split_path(path) is None:
            left_out[path] = "of a name that is not taken over"
        elif mode not in (PLAIN, EXECUTABLE):
            left_out[path] = "a submodule" if entry["type"] == "commit" else "a symbolic link"
        elif entry["size"] > MOST_FILE_BYTES:
            left_out[path] = f"larger than {MOST_FILE_BYTES // MIB} MiB"
        else:
            wanted.append(Listed(path, mode, entry["sha"], entry["size"]))
    return wanted, left_out


def _check_limits(readable: list[Listed], wanted: list[Listed], payload: CodeChange) -> None:
    held = sum(each.size for each in wanted)
    if len(wanted) > payload.max_files:
        raise Terminal(
            f"the working copy would have {len(wanted)} files, more than max_files ({payload.max_files}):"
            " narrow paths, or raise it"
        )
    if held > payload.max_bytes:
        raise Terminal(
            f"the working copy would have {held} bytes, more than max_bytes ({payload.max_bytes}):"
            " narrow paths, or raise it"
        )
    if payload.paths and not readable:
        raise Terminal(f"no file lies inside paths ({', '.join(payload.paths)}): correct them")


async def _contents(
    github: GitHub, name: str, commit: str, wanted: list[Listed], all_bytes: int
) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    if len(wanted) > FEW and all_bytes <= MOST_ARCHIVE_BYTES:
        archive = await github.download(
            f"repos/{name}/tarball/{commit}", "download the files", MOST_ARCHIVE_BYTES + 16 * MIB
        )
        found = await asyncio.to_thread(_unpack, archive, {each.path: each for each in wanted})
    missing = [each for each in wanted if each.path not in found]
    if len(missing) > MOST_SINGLE_FILES:
        raise Terminal(
            f"{len(missing)} files would have to be fetched one by one; at most {MOST_SINGLE_FILES} can: narrow paths"
        )
    turn = asyncio.Semaphore(AT_ONCE)

    async def fetch(each: Listed) -> None:
        async with turn:
            found[each.path] = await _fetch(github, name, each)

    async with asyncio.TaskGroup() as fetching:
        for each in missing:
            fetching.create_task(fetch(each))
    return found


def _unpack(archive: bytes, wanted: Mapping[str, Listed]) -> dict[str, bytes]:
    """Return the wanted files that the archive holds unchanged. Nothing is written anywhere."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as members:
            for member in members:
                path = member.name.partition("/")[2]  # all stands in one folder, named after the commit
                listed = wanted.get(path)
                if listed is None or not member.isreg() or member.size != listed.size:
                    continue
                stream = members.extractfile(member)
                content = stream.read() if stream else b""
                if blob_sha(content) == listed.sha:
                    found[path] = content
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Retry(f"the archive of the files is damaged: {type(error).__name__}") from None
    return found


async def _fetch(github: GitHub, name: str, listed: Listed) -> bytes:
    answer = await github.get(f"repos/{name}/git/blobs/{listed.sha}", f"read {listed.path}")
    try:
        content = b64decode(answer["content"])
    except (binascii.Error, ValueError):
        content = b""
    if blob_sha(content) != listed.sha:
        raise Retry(f"could not read {listed.path}: GitHub sent something else")
    return content


def blob_sha(content: bytes) -> str:
    """Return the name that git has for a content."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
