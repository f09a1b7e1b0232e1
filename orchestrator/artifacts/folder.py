"""Artifacts in a folder of this machine: the default. A bucket is a folder in it, readable by its owner only.

Good for one machine. Its files are not encrypted; where several machines serve, use S3 or Supabase Storage.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifacts.objects import PAGE, ObstoreArtifacts
from orchestrator.domain.artifact import Bucket, FileKey, StoredArtifact, file_at
from orchestrator.domain.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import LocalStore

_HALF_WRITTEN = "#"
"""What obstore puts behind the name of a file until it is whole, with a number; a kill leaves that file there."""


class FolderArtifacts(ObstoreArtifacts["LocalStore"]):
    remedy = "look at the owner and the mode of the folder"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder.absolute()
        self.name = f"artifacts (folder {folder})"

    async def open_bucket(self, bucket: Bucket) -> LocalStore:
        from obstore.store import LocalStore

        folder = self._folder / bucket
        with self.told():
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder, automatic_cleanup=True)

    def absent(self, file: FileKey) -> Exception:
        return Unavailable(self.name)  # somebody removed the folder while it was written

    async def put(self, artifact: StoredArtifact, data: bytes) -> None:
        await super().put(artifact, data)
        with self.told():
            await asyncio.to_thread(_reach_the_disk, self._folder / artifact.file.bucket / artifact.file.path)

    async def delete(self, files: Sequence[FileKey]) -> None:
        for file in files:
            bucket = await self.bucket(file.bucket)
            await asyncio.to_thread(_remove_half_written, self._folder / file.bucket / file.path)
            with self.told(), suppress(FileNotFoundError):
                await bucket.delete_async(file.path)

    async def files(self, bucket: Bucket) -> AsyncIterator[list[FileKey]]:
        """A half-written file counts as the one that it was to become."""
        folders = await asyncio.to_thread(_names_in, self._folder / bucket)
        page: list[FileKey] = []
        for folder in folders:
            names = await asyncio.to_thread(_names_in, self._folder / bucket / folder)
            paths = {f"{folder}/{name.partition(_HALF_WRITTEN)[0]}" for name in names}
            page += [file for path in paths if (file := file_at(bucket, path)) is not None]
            if len(page) >= PAGE:
                yield page
                page = []
        yield page


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or not ours
        return []


def _reach_the_disk(path: Path) -> None:
    """Return when the file and the folders that name it would outlive a power failure."""
    for each in (path, path.parent, path.parent.parent):
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_half_written(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}{_HALF_WRITTEN}*"):
        left.unlink(missing_ok=True)
