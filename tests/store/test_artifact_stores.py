"""The three stores of artifacts keep the same promises; S3 and Supabase are spoken to over HTTP, by their clients."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from orchestrator.artifacts.choice import Choice, choose
from orchestrator.artifacts.port import ArtifactStore
from orchestrator.domain.artifact import FileKey, StoredArtifact, file_at
from orchestrator.domain.errors import ArtifactMissing, NotConfigured, StoreRefused, Unavailable
from orchestrator.domain.ids import Fence
from tests.fakes.s3 import ACCESS_KEY, REGION, SECRET_KEY, FakeS3, serve_s3
from tests.fakes.supabase_storage import SERVICE_KEY, FakeSupabase, serve_supabase
from tests.store.samples import CLOCK

MINUTE = timedelta(minutes=1)
BUCKETS = ("acme-orchestrator", "acme-content")
KINDS = ("local", "s3", "supabase")


@dataclass
class Place:
    """A store, and the other side of it."""

    store: ArtifactStore
    choice: Choice
    server: FakeS3 | FakeSupabase | None
    folder: Path

    def without_keys(self) -> ArtifactStore:
        wrong = SecretStr("wrong-canary")
        return choose(replace(self.choice, s3_secret_access_key=wrong, supabase_key=wrong))


def choice_of(kind: str, folder: Path, url: str | None = None, **changes: Any) -> Choice:
    given: dict[str, Any] = {
        "kind": kind, "folder": folder, "bucket_prefix": "acme-", "signs": True, "s3_endpoint": url,
        "s3_region": REGION, "s3_access_key_id": SecretStr(ACCESS_KEY), "s3_secret_access_key": SecretStr(SECRET_KEY),
        "supabase_url": url, "supabase_key": SecretStr(SERVICE_KEY),
    }  # fmt: skip
    return Choice(**given | changes)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    serve = {"s3": serve_s3, "supabase": serve_supabase}.get(request.param)
    if serve is None:
        choice = choice_of("local", tmp_path)
        yield Place(choose(choice), choice, None, tmp_path)
        return
    with serve(*BUCKETS) as server:
        choice = choice_of(request.param, tmp_path, server.url)
        yield Place(choose(choice), choice, server, tmp_path)


remote = pytest.mark.parametrize("place", ["s3", "supabase"], indirect=True)


def artifact_of(data: bytes = b"hello", **given: Any) -> StoredArtifact:
    file = FileKey(given.pop("bucket", "content"), CLOCK.task_id(), Fence(7), CLOCK.task_id())
    return StoredArtifact(file, given.pop("name", "report.md"), "text/markdown; charset=utf-8", len(data), "")


async def bytes_of(store: ArtifactStore, file: FileKey) -> bytes:
    reading = await store.read(file)
    data = b"".join([chunk async for chunk in reading.chunks])
    assert len(data) == reading.size_bytes
    return data


async def all_of(store: ArtifactStore, bucket: Any = "content") -> set[FileKey]:
    return {file async for page in store.files(bucket) for file in page}


async def test_bytes_come_back_as_they_were_until_they_are_deleted(place: Place) -> None:
    store, data = place.store, bytes(range(256)) * 5_000
    kept, empty, internal = artifact_of(data), artifact_of(b""), artifact_of(b"log", bucket="orchestrator")
    for artifact, content in ((kept, data), (empty, b""), (internal, b"log"), (kept, data)):
        await store.put(artifact, content)
    assert await bytes_of(store, kept.file) == data
    assert await bytes_of(store, empty.file) == b""
    assert await all_of(store) == {kept.file, empty.file}
    assert await all_of(store, "orchestrator") == {internal.file}
    await store.check(kept.file)
    await store.delete([kept.file, internal.file])
    await store.delete([kept.file])
    assert await all_of(store) == {empty.file}
    for look in (store.check, store.read):
        with pytest.raises(ArtifactMissing, match=kept.file.id):
            await look(kept.file)
    await store.close()


@remote
async def test_a_link_downloads_the_file_without_a_key_and_under_its_name(place: Place) -> None:
    artifact, other = artifact_of(name='über "alles" & co.md'), artifact_of(b"other")
    await place.store.put(artifact, b"hello")
    await place.store.put(other, b"other")
    link, _ = await place.store.links([artifact, other], MINUTE)
    assert link is not None
    async with httpx2.AsyncClient() as anybody:
        answer = await anybody.get(link)
        elsewhere = await anybody.get(link.replace(artifact.file.path, other.file.path))
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["content-type"] == artifact.content_type
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert "alles" in answer.headers["content-disposition"]
    assert elsewhere.status_code in (400, 403)


@remote
@pytest.mark.parametrize("lifetime", [MINUTE, timedelta(days=1), timedelta(days=2, seconds=3)])
async def test_a_link_is_good_for_as_long_as_was_asked(place: Place, lifetime: timedelta) -> None:
    artifact = artifact_of()
    await place.store.put(artifact, b"hello")
    (link,) = await place.store.links([artifact], lifetime)
    assert link is not None
    if isinstance(place.server, FakeSupabase):
        assert place.server.lifetime_seconds == lifetime.total_seconds()
    else:
        assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == [f"{lifetime.total_seconds():.0f}"]


async def test_there_is_no_link_where_none_can_be_or_none_is_wanted(place: Place) -> None:
    artifact = artifact_of()
    store = choose(replace(place.choice, signs=False))
    await store.put(artifact, b"hello")
    assert await store.links([artifact], MINUTE) == [None]
    await store.close()


@remote
async def test_a_long_list_is_gone_through_to_its_end(place: Place) -> None:
    assert place.server is not None
    place.server.page = 2
    artifacts = [artifact_of() for _ in range(5)]
    for artifact in artifacts:
        await place.store.put(artifact, b"hello")
    assert await all_of(place.store) == {artifact.file for artifact in artifacts}


async def test_what_is_not_ours_is_no_file_of_ours(place: Place) -> None:
    for path in ("notes.txt", "a/b", f"{CLOCK.task_id()}/7-x", f"{CLOCK.task_id()}/7-{CLOCK.task_id()}.bak"):
        if isinstance(place.server, FakeS3):
            place.server.buckets["acme-content"][path] = (b"theirs", {})
        elif place.server is not None:
            place.server.buckets["acme-content"][path] = (b"theirs", "text/plain")
        else:
            (place.folder / "content" / path).parent.mkdir(parents=True, exist_ok=True)
            (place.folder / "content" / path).write_bytes(b"theirs")
    assert await all_of(place.store) == set()


@remote
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_pass_is_unavailable_and_names_the_store(place: Place, status: int) -> None:
    assert place.server is not None
    place.server.failing = [status] * 3
    with pytest.raises(Unavailable, match=r"artifacts \((s3|supabase) at 127\.0\.0\.1:\d+\) cannot be used now"):
        await place.store.put(artifact_of(), b"hello")


@remote
async def test_a_store_that_is_away_is_unavailable(place: Place) -> None:
    away = choose(replace(place.choice, s3_endpoint="http://127.0.0.1:1", supabase_url="http://127.0.0.1:1"))
    for ask in (away.put(artifact_of(), b"hello"), away.read(artifact_of().file), all_of(away)):
        with pytest.raises(Unavailable):
            await ask


@remote
async def test_wrong_keys_are_refused_and_not_told(place: Place) -> None:
    store = place.without_keys()
    for ask in (store.put(artifact_of(), b"hello"), store.read(artifact_of().file), all_of(store)):
        with pytest.raises(StoreRefused, match=r"refused: 403 .*look at") as refusal:
            await ask
        told = str(refusal.value) + str(refusal.value.__cause__)
        assert not any(secret in told for secret in ("canary", SECRET_KEY, SERVICE_KEY))


@remote
async def test_a_bucket_that_is_not_there_is_refused_by_name(place: Place) -> None:
    assert place.server is not None
    del place.server.buckets["acme-content"]
    with pytest.raises(StoreRefused, match=r"'acme-content'|Bucket not found"):
        await place.store.put(artifact_of(), b"hello")


async def test_s3_tries_again_what_a_busy_server_refused(tmp_path: Path) -> None:
    with serve_s3(*BUCKETS) as server:
        store, artifact = choose(choice_of("s3", tmp_path, server.url)), artifact_of()
        server.failing = [503]
        await store.put(artifact, b"hello")
        assert [each.split()[0] for each in server.asked] == ["PUT", "PUT"]


async def test_a_half_written_file_is_found_and_deleted_with_its_key(tmp_path: Path) -> None:
    store, artifact = choose(choice_of("local", tmp_path)), artifact_of()
    half = tmp_path / "content" / f"{artifact.file.path}#1"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"hel")
    assert await all_of(store) == {artifact.file}
    await store.delete([artifact.file])
    assert not half.exists()


async def test_a_folder_is_its_owner_s_alone_and_is_made_by_the_first_write(tmp_path: Path) -> None:
    store = choose(choice_of("local", tmp_path / "artifacts"))
    assert await all_of(store) == set()
    assert not (tmp_path / "artifacts").exists()
    await store.put(artifact_of(), b"hello")
    assert (tmp_path / "artifacts" / "content").stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="folder"):
        await choose(choice_of("local", tmp_path / "file")).put(artifact_of(), b"hello")


@pytest.mark.parametrize(
    ("kind", "changes", "variable"),
    [
        ("s3", {"s3_secret_access_key": None}, "AUREA_ARTIFACTS_SECRET_ACCESS_KEY"),
        ("s3", {"s3_access_key_id": None, "s3_secret_access_key": None}, "AUREA_ARTIFACTS_ACCESS_KEY_ID"),
        ("supabase", {"supabase_url": None}, "SUPABASE_URL"),
        ("supabase", {"supabase_key": None}, "SUPABASE_SERVICE_ROLE_KEY"),
    ],
)
def test_what_a_store_lacks_is_named(kind: str, changes: dict[str, Any], variable: str, tmp_path: Path) -> None:
    choice = choice_of(kind, tmp_path, "http://127.0.0.1:1", **changes)
    with pytest.raises(NotConfigured) as lack:
        choose(choice)
    assert lack.value.variable == variable
    assert not any(secret in repr(choice) for secret in (SECRET_KEY, SERVICE_KEY))


def test_a_package_that_is_not_there_is_told_before_the_store_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "storage3", None)
    with pytest.raises(NotConfigured, match=r"pip install 'aurea-orchestrator\[supabase\]'") as lack:
        choose(choice_of("supabase", tmp_path, "http://127.0.0.1:1"))
    assert lack.value.variable == "AUREA_ARTIFACTS"


def test_a_key_is_read_back_from_its_path() -> None:
    file = artifact_of().file
    assert file_at("content", file.path) == file
    assert file_at("content", f"../{file.path}") is None
    assert file_at("content", f"{file.path}\n") is None
