"""Artifacts: files that attempts keep, and how they are found again.

The bytes come first, under a key that this call alone ever writes; then the row, under the fence. So a row never
names bytes that are not there, and what a crash leaves between the two is a file without a row, for `tidy`.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from orchestrator.artifacts.port import Reading
from orchestrator.domain.artifact import Bucket, FileKey, StoredArtifact
from orchestrator.domain.errors import (
    ArtifactMissing,
    AureaError,
    LeaseLost,
    NotConfigured,
    NotFound,
    TooLarge,
    Unavailable,
)
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.domain.task import Claim
from orchestrator.operations.patience import patiently
from orchestrator.operations.tidy import remove
from orchestrator.runtime import Runtime
from orchestrator.sdk import Artifact

_log = structlog.get_logger("orchestrator.artifact")

LINK_LIFETIME = timedelta(minutes=15)
_ANSWER_SECONDS = 5.0
"""How long a reader of the API waits for a word about a file, not for its bytes."""


async def keep(runtime: Runtime, claim: Claim, name: str, data: bytes, content_type: str, bucket: Bucket) -> Artifact:
    """Store a file of the task, in place of the one of the same name; what stood there is deleted.

    Waits while Postgres is away. Raises TooLarge, NotConfigured in a worker without Postgres, LeaseLost for a stale
    attempt, which changed nothing, StoreRefused, and Unavailable while the store is away. Name and content type are
    the context's to check.
    """
    if len(data) > runtime.limits.max_artifact_bytes:
        raise TooLarge(f"the artifact {name!r}", runtime.limits.max_artifact_bytes)
    if runtime.standby.isolated:
        raise NotConfigured("DATABASE_URL", "for this worker: what is known of artifacts is kept in Postgres")
    artifact = StoredArtifact(
        FileKey(bucket, claim.entry.id, claim.fence, runtime.clock.task_id()),
        name,
        content_type,
        len(data),
        await asyncio.to_thread(lambda: sha256(data).hexdigest()),
    )
    await runtime.artifacts.put(artifact, data)
    unnamed = await patiently(runtime.clock, lambda: _record(runtime, artifact))
    if unnamed is None:
        await remove(runtime, [artifact.file])
        raise LeaseLost(claim.entry.id, claim.fence)
    await remove(runtime, unnamed)
    return Artifact(artifact.file.id, name, bucket, content_type, artifact.size_bytes, artifact.sha256)


async def _record(runtime: Runtime, artifact: StoredArtifact) -> list[FileKey] | None:
    """Put it on record; raises Unavailable while the task itself still waits in the outbox for Postgres."""
    unnamed = await runtime.ledger.keep_artifact(artifact)
    if unnamed is not None:
        return unnamed
    if await runtime.queue.outbox_depth() and not await runtime.ledger.known([artifact.file.task_id]):
        raise Unavailable("postgres")
    return await runtime.ledger.keep_artifact(artifact)  # the task may have arrived between the two looks


async def find(runtime: Runtime, tenant: Tenant, task_id: TaskId, artifact_id: str) -> StoredArtifact:
    """Raises NotFound: also for one that was replaced by another of the same name."""
    found = await runtime.ledger.artifact(tenant, task_id, artifact_id)
    if found is None:
        raise NotFound(f"task {task_id} has no artifact {artifact_id}")
    return found


async def links(runtime: Runtime, artifacts: Sequence[StoredArtifact]) -> tuple[list[str | None], datetime]:
    """Return for each a link that anybody may follow, or None, and until when. No word from the store: no links."""
    until = runtime.clock.now() + LINK_LIFETIME
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await runtime.artifacts.links(artifacts, LINK_LIFETIME), until
    except (TimeoutError, AureaError) as error:
        _log.warning("no_links", store=runtime.artifacts.name, reason=str(error) or "no answer")
        return [None] * len(artifacts), until


async def link(runtime: Runtime, artifact: StoredArtifact) -> str | None:
    """Return a link to the bytes, which are there; None where the store gives none.

    Raises ArtifactMissing, StoreRefused, and Unavailable, also for a store that takes too long to answer.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            (found,) = await runtime.artifacts.links([artifact], LINK_LIFETIME)
            if found is not None:
                await runtime.artifacts.check(artifact.file)
            return found
    except TimeoutError as error:
        raise Unavailable(runtime.artifacts.name) from error


async def read(runtime: Runtime, artifact: StoredArtifact) -> Reading:
    """Return the bytes, on their way.

    Raises ArtifactMissing, also when they are not the ones that were stored, StoreRefused and Unavailable; the last
    two also while the bytes are read.
    """
    reading = await runtime.artifacts.read(artifact.file)
    if reading.size_bytes != artifact.size_bytes:
        raise ArtifactMissing(artifact.file.id, runtime.artifacts.name)
    return reading
