"""What the stores that obstore speaks to have in common. A bucket is opened when it is first used.

obstore itself is loaded then, too, in a few milliseconds: it takes 4 MB of a process, and most keep no files.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator.artifacts.port import Reading
from orchestrator.domain.artifact import BUCKETS, Bucket, FileKey, StoredArtifact, file_at
from orchestrator.domain.errors import ArtifactMissing, StoreRefused, Unavailable

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import LocalStore, S3Store

S = TypeVar("S", "LocalStore", "S3Store")

CHUNK_BYTES = 256 * 1024
PAGE = 1_000
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_MAY_PASS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class ObstoreArtifacts(ABC, Generic[S]):
    """Promises what ArtifactStore does; its children know where the buckets are."""

    name: str
    remedy: str
    """What to look at when the store says no."""

    def __init__(self) -> None:
        self._opened: dict[Bucket, S] = {}

    @abstractmethod
    async def open_bucket(self, bucket: Bucket) -> S: ...

    @abstractmethod
    def absent(self, file: FileKey) -> Exception:
        """Return the error for a write that found no bucket."""

    async def put(self, artifact: StoredArtifact, data: bytes) -> None:
        """In one request: a half-finished upload leaves nothing behind that costs money and that no list shows."""
        bucket = await self.bucket(artifact.file.bucket)
        try:
            with self.told():
                await bucket.put_async(
                    artifact.file.path, data, attributes=self.attributes(artifact), use_multipart=False
                )
        except FileNotFoundError as error:
            raise self.absent(artifact.file) from error

    def attributes(self, artifact: StoredArtifact) -> dict[str, str] | None:
        """What the store is to answer with the bytes, where it can."""
        return None

    async def read(self, file: FileKey) -> Reading:
        bucket = await self.bucket(file.bucket)
        with self.told(file):
            found = await bucket.get_async(file.path)
        return Reading(found.meta["size"], self._chunks(found))

    async def check(self, file: FileKey) -> None:
        bucket = await self.bucket(file.bucket)
        with self.told(file):
            await bucket.head_async(file.path)

    async def links(self, artifacts: Sequence[StoredArtifact], lifetime: timedelta) -> list[str | None]:
        return [None] * len(artifacts)

    async def delete(self, files: Sequence[FileKey]) -> None:
        for name in BUCKETS:
            paths = [file.path for file in files if file.bucket == name]
            if paths:
                bucket = await self.bucket(name)
                with self.told(), suppress(FileNotFoundError):
                    await bucket.delete_async(paths)

    async def files(self, bucket: Bucket) -> AsyncIterator[list[FileKey]]:
        opened = await self.bucket(bucket)
        with self.told():
            async for page in opened.list(chunk_size=PAGE):
                yield [file for each in page if (file := file_at(bucket, each["path"])) is not None]

    async def close(self) -> None:
        self._opened.clear()

    async def bucket(self, bucket: Bucket) -> S:
        if bucket not in self._opened:
            self._opened[bucket] = await self.open_bucket(bucket)
        return self._opened[bucket]

    @contextmanager
    def told(self, file: FileKey | None = None) -> Iterator[None]:
        """Raise what the store says as an error of ours; the absence of a `file` as ArtifactMissing."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError as error:
            if file is None:
                raise
            raise ArtifactMissing(file.id, self.name) from error
        except BaseError as error:
            said = str(error).partition("Debug source")[0]
            status = int(found[1]) if (found := _STATUS.search(said)) else None
            denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
            if not denied and (status is None or status >= 500 or status in _MAY_PASS):
                raise Unavailable(self.name) from error
            code = found[1] if (found := _CODE.search(said)) else ""
            answer = " ".join(str(part) for part in (status, code) if part) or "permission denied"
            raise StoreRefused(self.name, f"{answer}: {self.remedy}") from error
        except OSError as error:
            raise Unavailable(self.name) from error

    async def _chunks(self, found: GetResult) -> AsyncIterator[bytes]:
        with self.told():
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
