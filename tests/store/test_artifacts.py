"""Artifacts are kept under the fence: the bytes first, then the row; what a crash leaves between them is found."""

import asyncio
from contextlib import suppress
from dataclasses import fields, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orchestrator.artifacts.folder import FolderArtifacts
from orchestrator.domain.artifact import BUCKETS, FileKey, StoredArtifact
from orchestrator.domain.errors import (
    ArtifactMissing,
    LeaseLost,
    NotConfigured,
    StoreRefused,
    TooLarge,
    Unavailable,
)
from orchestrator.domain.ids import Fence, TaskId, Tenant, task_id
from orchestrator.domain.outbox import Acceptance
from orchestrator.domain.task import Entry, NewTask
from orchestrator.ledger.postgres import PostgresLedger
from orchestrator.operations import artifact as artifacts
from orchestrator.operations.artifact import keep
from orchestrator.operations.prune import prune
from orchestrator.operations.tidy import remove_leftovers
from orchestrator.queue.memory import MemoryQueue
from orchestrator.runtime import Limits, Runtime, Standby
from orchestrator.sdk import Artifact
from tests.store.samples import CLOCK, TENANT, claim_of, ending_of, new_task, waiting

LIMIT = 100_000
A_MONTH = timedelta(days=31)


@pytest.fixture
def runtime(ledger: PostgresLedger, tmp_path: Path) -> Runtime:
    """What keeping a file asks for; the rest is nothing."""
    limits: dict[str, Any] = dict.fromkeys((field.name for field in fields(Limits)), 0)
    parts: dict[str, Any] = {
        "ledger": ledger,
        "queue": MemoryQueue(lambda: 0, 1),
        "clock": CLOCK,
        "artifacts": FolderArtifacts(tmp_path),
        "limits": Limits(**limits | {"max_artifact_bytes": LIMIT, "retention_days": 30}),
        "standby": Standby(),
    }
    return Runtime(**dict.fromkeys((field.name for field in fields(Runtime)[:-2]), None) | parts)


async def stored(runtime: Runtime) -> set[str]:
    """The ids of all files in the store."""
    pages = [page for bucket in BUCKETS async for page in runtime.artifacts.files(bucket)]
    return {file.id for page in pages for file in page}


async def some_bytes(runtime: Runtime) -> None:
    """Return when there are some in the store."""
    async with asyncio.timeout(5):
        while not await stored(runtime):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.005)


async def rows(runtime: Runtime, task: NewTask, tenant: Tenant = TENANT) -> dict[str, str]:
    return {each.name: each.file.id for each in await runtime.ledger.artifacts(tenant, task.id, None, 100)}


async def kept(runtime: Runtime, task: NewTask, fence: int, name: str = "a.md", data: bytes = b"# A") -> Artifact:
    return await keep(runtime, claim_of(task, fence), name, data, "text/markdown", "content")


async def task_in(ledger: PostgresLedger, **given: Any) -> NewTask:
    task = new_task(**given)
    await ledger.insert([task])
    return task


async def test_a_file_is_kept_and_read_back(runtime: Runtime) -> None:
    task = await task_in(runtime.ledger)
    artifact = await kept(runtime, task, 5)
    assert artifact == Artifact(artifact.id, "a.md", "content", "text/markdown", 3, sha256(b"# A").hexdigest())
    found = await artifacts.find(runtime, TENANT, task.id, artifact.id)
    assert (found.name, found.file.fence, found.sha256, found.size_bytes) == ("a.md", 5, artifact.sha256, 3)
    reading = await artifacts.read(runtime, found)
    assert b"".join([chunk async for chunk in reading.chunks]) == b"# A"
    assert await rows(runtime, task, Tenant("other")) == {}


async def test_the_same_name_again_replaces_it_and_its_bytes(runtime: Runtime) -> None:
    task, other = await task_in(runtime.ledger), await task_in(runtime.ledger)
    await kept(runtime, task, 5)
    beside, elsewhere = await kept(runtime, task, 5, "b.md"), await kept(runtime, other, 5)
    again = await kept(runtime, task, 5, data=b"# A, again")
    later = await kept(runtime, task, 9, data=b"# A, by the next attempt")
    assert await rows(runtime, task) == {"a.md": later.id, "b.md": beside.id}
    assert await stored(runtime) == {later.id, beside.id, elsewhere.id}
    assert again.id != later.id


@pytest.mark.parametrize("newer", ["start", "settle", "cancel", "reopen"])
async def test_a_stale_attempt_keeps_nothing_and_leaves_no_bytes(runtime: Runtime, newer: str) -> None:
    ledger, task = runtime.ledger, await task_in(runtime.ledger)
    before = await kept(runtime, task, 5)
    if newer == "start":
        await ledger.start([claim_of(task, 6, attempt=2)])
    elif newer == "cancel":
        await ledger.cancel(TENANT, task.id, Fence(6))
    else:
        await ledger.settle([ending_of(claim_of(task, 5))])
        if newer == "reopen":
            await ledger.reopen(TENANT, [task.id], Fence(6), [None])
    with pytest.raises(LeaseLost):
        await kept(runtime, task, 5, data=b"late")
    with pytest.raises(LeaseLost):
        await kept(runtime, task, 5, "new.md")
    assert await rows(runtime, task) == {"a.md": before.id}
    assert await stored(runtime) == {before.id}


async def test_an_older_attempt_does_not_replace_what_a_newer_one_kept(runtime: Runtime) -> None:
    task = await task_in(runtime.ledger)  # not on record as running: its row still lets both in
    newer = await kept(runtime, task, 9)
    with pytest.raises(LeaseLost):
        await kept(runtime, task, 5)
    assert await rows(runtime, task) == {"a.md": newer.id}
    assert await stored(runtime) == {newer.id}


async def test_the_row_written_twice_keeps_its_bytes(runtime: Runtime) -> None:
    task = await task_in(runtime.ledger)
    file = await artifacts.find(runtime, TENANT, task.id, (await kept(runtime, task, 5)).id)
    assert await runtime.ledger.keep_artifact(file) == []
    assert await stored(runtime) == {file.file.id}


async def test_of_many_at_once_one_remains_and_its_bytes_with_it(pool: asyncpg.Pool, runtime: Runtime) -> None:
    task = await task_in(runtime.ledger)
    await kept(runtime, task, 5)
    async with asyncio.TaskGroup() as group, pool.acquire() as holder, holder.transaction():
        await holder.execute("select from orchestrator_tasks where id = $1 for update", task.id)
        for number in range(4):
            group.create_task(kept(runtime, task, 5, data=b"%d" % number))
        await waiting(holder, 4)
    (remaining,) = (await rows(runtime, task)).values()
    assert await stored(runtime) == {remaining}


async def test_what_a_crash_leaves_is_deleted_once_nobody_can_name_it_any_more(runtime: Runtime) -> None:
    ledger, task = runtime.ledger, await task_in(runtime.ledger)
    dying = asyncio.create_task(kept(replace(runtime, ledger=PostgresLedger(None)), task, 5))
    await some_bytes(runtime)
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    (left,) = await stored(runtime)
    assert await rows(runtime, task) == {}
    assert await remove_leftovers(runtime) == 0, "the attempt might be about to write its row"
    again = await kept(runtime, task, 6)
    assert await remove_leftovers(runtime) == 0
    await ledger.start([claim_of(task, 6, attempt=2)])
    assert await remove_leftovers(runtime) == 1
    assert await stored(runtime) == {again.id}
    await ledger.settle([ending_of(claim_of(task, 6, attempt=2))])
    assert await remove_leftovers(runtime) == 0
    assert left != again.id


def file_of(task: TaskId) -> FileKey:
    return FileKey("content", task, Fence(5), CLOCK.task_id())


async def put(runtime: Runtime, file: FileKey) -> None:
    """Leave bytes without a row."""
    await runtime.artifacts.put(StoredArtifact(file, "a.md", "text/markdown", 3, ""), b"# A")


async def test_files_of_a_task_that_is_final_or_long_forgotten_are_leftovers(runtime: Runtime) -> None:
    final, live = await task_in(runtime.ledger), await task_in(runtime.ledger)
    await runtime.ledger.settle([ending_of(claim_of(final, 5))])
    long_ago = task_id(int((CLOCK.now() - A_MONTH).timestamp() * 1000), 1)
    gone = [file_of(final.id), file_of(long_ago)]
    stay = [file_of(live.id), file_of(CLOCK.task_id())]
    await runtime.ledger.start([claim_of(live, 5)])
    for file in (*gone, *stay):
        await put(runtime, file)
    before = await stored(runtime)
    assert await remove_leftovers(runtime) == 2
    assert before - await stored(runtime) == {file.id for file in gone}


async def test_leftovers_wait_while_tasks_wait_in_the_outbox(runtime: Runtime) -> None:
    final = await task_in(runtime.ledger)
    await runtime.ledger.settle([ending_of(claim_of(final, 5))])
    await put(runtime, file_of(final.id))
    await _accept(runtime, new_task())
    assert await remove_leftovers(runtime) == 0


async def test_pruning_a_task_takes_its_files_and_no_other(pool: asyncpg.Pool, runtime: Runtime) -> None:
    old, young = await task_in(runtime.ledger), await task_in(runtime.ledger)
    await kept(runtime, old, 1)
    await kept(runtime, old, 1, "b.md")
    stays = await kept(runtime, young, 1)
    await runtime.ledger.settle([ending_of(claim_of(old, 1))])
    assert await prune(runtime, CLOCK.now() + A_MONTH) == 1
    assert await stored(runtime) == {stays.id}
    assert await pool.fetchval("select count(*) from orchestrator_artifacts") == 1


async def test_a_store_that_is_away_does_not_hold_up_pruning(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    task = await task_in(runtime.ledger)
    left = await kept(runtime, task, 1)
    await runtime.ledger.settle([ending_of(claim_of(task, 1))])

    async def away(*_: object) -> None:
        raise Unavailable("artifacts")

    with monkeypatch.context() as while_away:
        while_away.setattr(runtime.artifacts, "delete", away)
        assert await prune(runtime, CLOCK.now() + A_MONTH) == 1
    assert await stored(runtime) == {left.id}
    limits = replace(runtime.limits, retention_days=-1)  # as after a month
    assert await remove_leftovers(replace(runtime, limits=limits)) == 1


async def test_keeping_waits_for_postgres(runtime: Runtime, ledger: PostgresLedger) -> None:
    task = await task_in(runtime.ledger)
    away = replace(runtime, ledger=PostgresLedger(None))
    keeping = asyncio.create_task(kept(away, task, 5))
    await some_bytes(runtime)
    assert await rows(runtime, task) == {}
    away.ledger._database = ledger._database
    artifact = await keeping
    assert await rows(runtime, task) == {"a.md": artifact.id}


async def _accept(runtime: Runtime, task: NewTask) -> None:
    entry = Entry(task.id, task.tenant, task.type, task.queue, task.priority, task.payload, 1, 1.0, task.traceparent)
    await runtime.queue.accept([Acceptance(entry, b"{}", None)])


async def test_keeping_waits_for_a_task_that_is_in_the_outbox_still(runtime: Runtime) -> None:
    task = new_task()
    await _accept(runtime, task)
    keeping = asyncio.create_task(kept(runtime, task, 5))
    await some_bytes(runtime)
    assert await rows(runtime, task) == {}
    await runtime.ledger.insert([task])
    artifact = await keeping
    assert await rows(runtime, task) == {"a.md": artifact.id}


async def test_a_task_that_nobody_knows_keeps_nothing(runtime: Runtime) -> None:
    with pytest.raises(LeaseLost):
        await kept(runtime, new_task(), 5)
    assert await stored(runtime) == set()


async def test_what_cannot_be_kept_is_refused_before_anything_is_written(runtime: Runtime) -> None:
    claim = claim_of(await task_in(runtime.ledger), 5)
    isolated = replace(runtime, standby=Standby(isolated=True))
    for error, at, data in ((TooLarge, runtime, b"x" * (LIMIT + 1)), (NotConfigured, isolated, b"x")):
        with pytest.raises(error):
            await keep(at, claim, "a", data, "text/plain", "content")
    assert await stored(runtime) == set()
    await keep(runtime, claim, "as large as it may be", b"x" * LIMIT, "text/plain", "content")


async def test_a_refusal_of_the_store_leaves_no_row(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    task = await task_in(runtime.ledger)

    async def refuse(*_: object) -> None:
        raise StoreRefused("artifacts", "403")

    monkeypatch.setattr(runtime.artifacts, "put", refuse)
    with pytest.raises(StoreRefused):
        await kept(runtime, task, 5)
    assert await rows(runtime, task) == {}


@pytest.mark.parametrize(
    "name", ["%2e%2e%2fetc%2fpasswd", "..%00", "résumé 你好.md", "a" * 255, "-rf *", "con.txt", "~", "$(id)"]
)
async def test_a_name_is_a_label_and_no_part_of_any_path(runtime: Runtime, tmp_path: Path, name: str) -> None:
    task = await task_in(runtime.ledger)
    artifact = await kept(runtime, task, 5, name)
    assert await rows(runtime, task) == {name: artifact.id}
    paths = [path for path in await asyncio.to_thread(lambda: list(tmp_path.rglob("*"))) if path.is_file()]
    assert paths == [tmp_path / "content" / task.id / f"5-{artifact.id}"]


async def test_bytes_that_were_taken_away_or_changed_are_missing(runtime: Runtime, tmp_path: Path) -> None:
    task = await task_in(runtime.ledger)
    found = await artifacts.find(runtime, TENANT, task.id, (await kept(runtime, task, 5)).id)
    path = tmp_path / "content" / found.file.path
    path.write_bytes(b"another length")
    with pytest.raises(ArtifactMissing):
        await artifacts.read(runtime, found)
    path.unlink()
    with pytest.raises(ArtifactMissing):
        await artifacts.read(runtime, found)
