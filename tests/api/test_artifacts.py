"""The files of a task over HTTP: listed, downloaded from here or from the store, and never another tenant's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from app import shapes
from orchestrator.domain.outcome import Succeeded
from orchestrator.operations.artifact import keep
from orchestrator.sdk import Artifact
from tests.api.door import Door, claim, end, open_door
from tests.api.live_server import serve
from tests.fakes.s3 import ACCESS_KEY, REGION, SECRET_KEY, serve_s3
from tests.fakes.supabase_storage import SERVICE_KEY, serve_supabase

BUCKETS = ("orchestrator", "content")


@pytest_asyncio.fixture
async def door(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(database_url, redis_url, aurea_home=tmp_path) as opened:
        yield opened


def s3_settings(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "aurea_artifacts": "s3",
        "aurea_artifacts_endpoint": url,
        "aurea_artifacts_region": REGION,
        "aurea_artifacts_access_key_id": ACCESS_KEY,
        "aurea_artifacts_secret_access_key": SECRET_KEY,
        **changes,
    }


async def kept(
    door: Door, *names: str, data: bytes = b"# Hello", kind: str = "text/markdown"
) -> tuple[str, list[Artifact]]:
    """A task that kept these files, and is done."""
    task = await door.submit()
    claimed = await claim(door.runtime)
    files = [await keep(door.runtime, claimed, name, data, kind, "content") for name in names]
    await end(door.runtime, claimed, Succeeded(b"1"))
    return task["id"], files


async def test_files_are_listed_in_pages_oldest_first(door: Door) -> None:
    task, files = await kept(door, "a.md", "b.md", "c.md")
    seen: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"limit": 2}
    for _ in range(2):
        page = (await door.http.get(f"/tasks/{task}/artifacts", params=asked)).json()
        seen += page["items"]
        asked["cursor"] = page["next_cursor"]
    assert asked["cursor"] is None
    assert [item["id"] for item in seen] == [file.id for file in files]
    assert set(seen[0]) == set(shapes.Artifact.model_fields)
    created_at = seen[0].pop("created_at")
    assert created_at.endswith("Z")
    self_link = f"/tasks/{task}/artifacts/{files[0].id}"
    assert seen[0] == {
        "id": files[0].id, "name": "a.md", "bucket": "content", "content_type": "text/markdown", "size_bytes": 7,
        "sha256": files[0].sha256, "download_url": None, "download_url_expires_at": None,
        "links": {"self": self_link, "task": f"/tasks/{task}"},
    }  # fmt: skip


async def test_a_task_without_files_has_an_empty_list(door: Door) -> None:
    task = await door.submit()
    answer = await door.http.get(f"/tasks/{task['id']}/artifacts")
    assert answer.json() == {"items": [], "next_cursor": None}


async def test_a_file_is_downloaded_as_an_attachment_and_never_shown(door: Door) -> None:
    page = b"<script>alert(1)</script>"
    task, (file,) = await kept(door, "größe.html", data=page, kind="text/html; charset=utf-8")
    answer = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
    assert (answer.status_code, answer.content) == (200, page)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-length"] == str(len(page))
    assert answer.headers["content-disposition"].startswith('attachment; filename="gr__e.html"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_large_file_streams_through_a_real_server(database_url: str, redis_url: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 8_000
    async with (
        open_door(database_url, redis_url, aurea_home=tmp_path) as door,
        serve(database_url, redis_url, aurea_home=tmp_path) as live,
    ):
        task, (file,) = await kept(door, "large.bin", data=data)
        async with live.http.stream("GET", f"/tasks/{task}/artifacts/{file.id}") as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
    assert b"".join(pieces) == data
    assert len(pieces) > 1


async def test_another_tenant_s_files_are_unknown(door: Door) -> None:
    task, (file,) = await kept(door, "a.md")
    other, _ = await kept(door, "a.md")
    elsewhere = {"Aurea-Tenant": "other"}
    for path, headers in (
        (f"/tasks/{task}/artifacts", elsewhere),
        (f"/tasks/{task}/artifacts/{file.id}", elsewhere),
        (f"/tasks/{other}/artifacts/{file.id}", {}),
        (f"/tasks/{task}/artifacts/{task}", {}),
    ):
        answer = await door.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await door.http.get(f"/tasks/{task}/artifacts", headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("artifact", "status", "code"),
    [
        ("..", 200, None),  # the task: what asks resolves it before it asks
        ("%2e%2e", 422, "invalid_id"),
        ("..%2f..%2ftoken", 404, "not_found"),
        ("a%00b", 422, "invalid_id"),
        ("x" * 3000, 422, "invalid_id"),
        ("%F0%9F%92%A9", 422, "invalid_id"),
    ],
)
async def test_a_path_trick_reads_nothing(
    door: Door, tmp_path: Path, artifact: str, status: int, code: str | None
) -> None:
    await asyncio.to_thread((tmp_path / "token").write_text, "canary")
    task, _ = await kept(door, "a.md")
    answer = await door.http.get(f"/tasks/{task}/artifacts/{artifact}")
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert "canary" not in answer.text


async def test_a_file_that_is_gone_is_a_clear_problem(door: Door, tmp_path: Path) -> None:
    task, (file,) = await kept(door, "a.md")
    (path,) = [path for path in await asyncio.to_thread(lambda: list(tmp_path.rglob("*"))) if path.is_file()]
    await asyncio.to_thread(path.unlink)
    answer = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_missing")
    assert file.id in answer.json()["detail"]
    assert "content-disposition" not in answer.headers


async def test_a_store_that_signs_is_where_the_download_leads(database_url: str, redis_url: str) -> None:
    with serve_s3(*BUCKETS) as server:
        async with open_door(database_url, redis_url, **s3_settings(server.url)) as door:
            task, (file,) = await kept(door, "a.md")
            (item,) = (await door.http.get(f"/tasks/{task}/artifacts")).json()["items"]
            answer = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
            assert answer.status_code == 307
            assert item["download_url_expires_at"] > item["created_at"]
            async with httpx2.AsyncClient() as anybody:
                for link in (item["download_url"], answer.headers["location"]):
                    assert (await anybody.get(link)).content == b"# Hello"
            server.buckets["content"].clear()
            gone = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
            assert (gone.status_code, gone.json()["code"]) == (404, "artifact_missing")
            assert SECRET_KEY not in answer.text + gone.text + str(item) + str(answer.headers)


async def test_where_callers_cannot_reach_the_store_it_streams_from_here(database_url: str, redis_url: str) -> None:
    with serve_s3(*BUCKETS) as server:
        given = s3_settings(server.url, aurea_artifacts_links=False)
        async with open_door(database_url, redis_url, **given) as door:
            task, (file,) = await kept(door, "a.md")
            (item,) = (await door.http.get(f"/tasks/{task}/artifacts")).json()["items"]
            answer = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
    assert (item["download_url"], item["download_url_expires_at"]) == (None, None)
    assert (answer.status_code, answer.content) == (200, b"# Hello")


async def test_supabase_storage_gives_links_too(database_url: str, redis_url: str) -> None:
    with serve_supabase(*BUCKETS) as server:
        given = {"aurea_artifacts": "supabase", "supabase_url": server.url, "supabase_service_role_key": SERVICE_KEY}
        async with open_door(database_url, redis_url, **given) as door:
            task, (file,) = await kept(door, "a.md")
            answer = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
            async with httpx2.AsyncClient() as anybody:
                assert (await anybody.get(answer.headers["location"])).content == b"# Hello"
            server.failing = [503]
            (item,) = (await door.http.get(f"/tasks/{task}/artifacts")).json()["items"]
            server.buckets["content"].clear()
            gone = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
    assert item["download_url"] is None
    assert (gone.status_code, gone.json()["code"]) == (404, "artifact_missing")


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [(503, 503, "unavailable"), (403, 503, "store_refused"), (404, 404, "artifact_missing")],
)
async def test_a_store_that_does_not_answer_is_named_and_the_list_stands(
    database_url: str, redis_url: str, status: int, answered: int, code: str
) -> None:
    with serve_s3(*BUCKETS) as server:
        async with open_door(database_url, redis_url, **s3_settings(server.url)) as door:
            task, (file,) = await kept(door, "a.md")
            server.failing = [status] * 3
            refused = await door.http.get(f"/tasks/{task}/artifacts/{file.id}")
            listed = await door.http.get(f"/tasks/{task}/artifacts")
    assert (refused.status_code, refused.json()["code"]) == (answered, code)
    assert "s3 at 127.0.0.1" in refused.json()["detail"]
    assert ("retry-after" in refused.headers) == (code == "unavailable")
    assert listed.status_code == 200


async def test_the_document_says_what_a_download_answers(door: Door) -> None:
    document = (await door.http.get("/openapi.json")).json()
    answers = document["paths"]["/tasks/{id}/artifacts/{artifact_id}"]["get"]["responses"]
    assert "application/octet-stream" in answers["200"]["content"]
    assert "307" in answers
