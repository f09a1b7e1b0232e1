"""Artifacts in Supabase Storage, by its own API: two buckets, which exist and are not public.

Needs the extra `supabase`, loaded when it is first used. A download link is made by Supabase, one request for many.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from orchestrator.artifacts.port import Reading
from orchestrator.domain.artifact import BUCKETS, Bucket, FileKey, StoredArtifact, file_at
from orchestrator.domain.errors import ArtifactMissing, StoreRefused, Unavailable

if TYPE_CHECKING:
    from storage3 import AsyncStorageClient
    from storage3.types import FileOptions, SearchV2Options

_PAGE = 1_000
_DELETED_AT_ONCE = 500
_NO_OBJECT = frozenset({"not_found", "NoSuchKey"})
_MAY_PASS = frozenset({408, 423, 429})


class SupabaseArtifacts:
    """Promises what ArtifactStore does."""

    def __init__(self, url: str, key: str, bucket_prefix: str, signs: bool) -> None:
        """`key` is the project's service role key, or a secret key. `signs`: it gives links."""
        self.name = f"artifacts (supabase at {urlsplit(url).netloc})"
        self._url = f"{url.rstrip('/')}/storage/v1/"
        self._key = key
        self._prefix = bucket_prefix
        self._signs = signs
        self._opened: AsyncStorageClient | None = None

    async def put(self, artifact: StoredArtifact, data: bytes) -> None:
        bucket, path = self._prefix + artifact.file.bucket, artifact.file.path
        options: FileOptions = {"content-type": artifact.content_type, "upsert": "true"}  # the same bytes, if ever
        with self._asking() as client:
            await client.from_(bucket).upload(path, data, options)

    async def read(self, file: FileKey) -> Reading:
        """All of it is in memory at once: their client streams nothing. Links spare us that."""
        with self._asking(file) as client:
            data = await client.from_(self._prefix + file.bucket).download(file.path)
        return Reading(len(data), _whole(data))

    async def check(self, file: FileKey) -> None:
        with self._asking(file) as client:
            await client.from_(self._prefix + file.bucket).info(file.path)

    async def links(self, artifacts: Sequence[StoredArtifact], lifetime: timedelta) -> list[str | None]:
        seconds = int(lifetime.total_seconds())
        found: dict[str, str | None] = {}  # None: it is not there
        for bucket in BUCKETS if self._signs else ():
            paths = [artifact.file.path for artifact in artifacts if artifact.file.bucket == bucket]
            if not paths:
                continue
            with self._asking() as client:
                signed = await client.from_(self._prefix + bucket).create_signed_urls(paths, seconds)
            found |= {str(answer["path"]): answer["signedURL"] for answer in signed}
        return [_saved_as(artifact.name, found.get(artifact.file.path)) for artifact in artifacts]

    async def delete(self, files: Sequence[FileKey]) -> None:
        for bucket in BUCKETS:
            paths = [file.path for file in files if file.bucket == bucket]
            for first in range(0, len(paths), _DELETED_AT_ONCE):
                with self._asking() as client:
                    await client.from_(self._prefix + bucket).remove(paths[first : first + _DELETED_AT_ONCE])

    async def files(self, bucket: Bucket) -> AsyncIterator[list[FileKey]]:
        wanted: SearchV2Options = {"limit": _PAGE}
        while True:
            with self._asking() as client:
                page = await client.from_(self._prefix + bucket).list_v2(wanted)
            yield [file for each in page.objects if (file := file_at(bucket, each.key or each.name)) is not None]
            if not page.hasNext or page.nextCursor is None:
                return
            wanted["cursor"] = page.nextCursor

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.session.aclose()
            self._opened = None

    def _client(self) -> AsyncStorageClient:
        if self._opened is None:
            import httpx
            from storage3 import AsyncStorageClient

            headers = {"apiKey": self._key, "Authorization": f"Bearer {self._key}"}
            timeout = httpx.Timeout(60.0, connect=2.0)
            self._opened = AsyncStorageClient(
                self._url, headers, http_client=httpx.AsyncClient(timeout=timeout, follow_redirects=True)
            )
        return self._opened

    @contextmanager
    def _asking(self, file: FileKey | None = None) -> Iterator[AsyncStorageClient]:
        """Raise what the store says as an error of ours; the absence of a `file` as ArtifactMissing."""
        client = self._client()
        import httpx
        from storage3.exceptions import StorageApiError

        try:
            yield client
        except httpx.HTTPError as error:
            raise Unavailable(self.name) from error
        except StorageApiError as error:
            status = int(error.status)
            if file is not None and status == 404 and error.code in _NO_OBJECT:
                raise ArtifactMissing(file.id, self.name) from error
            if status >= 500 or status in _MAY_PASS:
                raise Unavailable(self.name) from error
            fix = "look at SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and the buckets of the project"
            raise StoreRefused(self.name, f"{status} {error.code[:60]}: {fix}") from error


def _saved_as(name: str, link: str | None) -> str | None:
    """Return a link that makes a browser save the file under its name."""
    return link and f"{link}&download={quote(name, safe='')}"


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
