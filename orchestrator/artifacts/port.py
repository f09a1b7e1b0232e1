"""What a store of artifacts is: bytes under keys, in two buckets. What is known of them is in the ledger.

Every method raises Unavailable, naming the store, for what may pass, and StoreRefused for what somebody has to mend.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from orchestrator.domain.artifact import Bucket, FileKey, StoredArtifact


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes on their way."""

    size_bytes: int
    chunks: AsyncIterator[bytes]


class ArtifactStore(Protocol):
    @property
    def name(self) -> str:
        """Which store it is and where, as errors tell it."""

    async def put(self, artifact: StoredArtifact, data: bytes) -> None:
        """Store the bytes, whole or not at all; once it returns they outlive a crash. It may be done again."""

    async def read(self, file: FileKey) -> Reading:
        """Raises ArtifactMissing."""

    async def check(self, file: FileKey) -> None:
        """Raises ArtifactMissing when the bytes are not there."""

    async def links(self, artifacts: Sequence[StoredArtifact], lifetime: timedelta) -> list[str | None]:
        """Return for each an address from which anybody downloads it for so long; None where that cannot be."""

    async def delete(self, files: Sequence[FileKey]) -> None:
        """Delete what is there of these."""

    def files(self, bucket: Bucket) -> AsyncIterator[list[FileKey]]:
        """Go through all of a bucket, in pages and in no order. What is not ours is left out."""

    async def close(self) -> None: ...
