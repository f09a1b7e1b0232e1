"""Artifacts in S3 or what speaks as it does: MinIO, R2, Supabase Storage's S3 endpoint. Two buckets, which exist.

A download link is made here, without asking the store: it is signed with the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.artifacts.objects import ObstoreArtifacts
from orchestrator.domain.artifact import Bucket, FileKey, StoredArtifact
from orchestrator.domain.errors import StoreRefused
from orchestrator.domain.labels import disposition

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store

_RETRIES: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


class S3Artifacts(ObstoreArtifacts["S3Store"]):
    remedy = "look at AUREA_ARTIFACTS_*, and at what these keys may do"

    def __init__(
        self,
        endpoint: str | None,
        region: str,
        keys: tuple[str, str] | None,
        bucket_prefix: str,
        signs: bool,
    ) -> None:
        """`keys` are id and secret; without them the machine's role at AWS counts. `signs`: it gives links."""
        super().__init__()
        self.name = f"artifacts (s3 at {urlsplit(endpoint).netloc if endpoint else f'AWS {region}'})"
        self._prefix = bucket_prefix
        self._signs = signs
        self._config: S3Config = {"region": region, "disable_bulk_delete": True}  # not every store deletes in bulk
        if endpoint is not None:
            self._config["endpoint"] = endpoint
        if keys is not None:
            self._config["access_key_id"], self._config["secret_access_key"] = keys
        self._client: ClientConfig = {
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=2),
            "read_timeout": timedelta(seconds=10),
            "timeout": timedelta(minutes=5),  # of a whole transfer
        }

    async def open_bucket(self, bucket: Bucket) -> S3Store:
        from obstore.store import S3Store

        return S3Store(self._prefix + bucket, config=self._config, client_options=self._client, retry_config=_RETRIES)

    def absent(self, file: FileKey) -> Exception:
        return StoreRefused(self.name, f"there is no bucket {self._prefix + file.bucket!r}: create it, not public")

    def attributes(self, artifact: StoredArtifact) -> dict[str, str]:
        return {"Content-Type": artifact.content_type, "Content-Disposition": disposition(artifact.name)}

    async def links(self, artifacts: Sequence[StoredArtifact], lifetime: timedelta) -> list[str | None]:
        if not self._signs:
            return await super().links(artifacts, lifetime)
        import obstore

        links: list[str | None] = []
        for artifact in artifacts:
            bucket = await self.bucket(artifact.file.bucket)
            with self.told():
                links.append(await obstore.sign_async(bucket, "GET", artifact.file.path, lifetime))
        return links
