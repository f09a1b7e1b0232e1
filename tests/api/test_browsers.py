"""What a browser is told: which pages may call, what it may do with an answer, and a page that needs nobody else."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.settings import Settings, read_settings
from tests.api.door import Door, open_door, succeed
from tests.api.live_server import serve

APP, OTHER = "https://app.example", "https://other.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


async def test_no_page_of_another_origin_may_call_unless_it_is_listed(door: Door) -> None:
    for path in ("/tasks", "/health", "/nope"):
        answer = await door.http.get(path, headers={"Origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await door.http.options("/tasks", headers={"Origin": APP, **PREFLIGHT})).status_code == 405


async def test_a_listed_page_may_call_and_no_other(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, aurea_cors_origins=(APP,)) as door:
        asked = await door.http.options("/tasks", headers={"Origin": APP, **PREFLIGHT, "Authorization": ""})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == APP
        assert "idempotency-key" in asked.headers["access-control-allow-headers"].lower()
        refused = await door.http.options("/tasks", headers={"Origin": OTHER, **PREFLIGHT})
        assert refused.status_code == 400
        for origin, allowed in ((APP, APP), (OTHER, None), ("null", None), (f"{APP}.evil.example", None)):
            for path in ("/tasks", "/tasks/nope"):
                answer = await door.http.get(path, headers={"Origin": origin})
                assert answer.headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in answer.headers


async def test_a_listed_page_may_follow_a_stream(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url, aurea_cors_origins=(APP,)) as live:
        task = (await live.http.post("/tasks", json={"type": "greet"})).json()
        await succeed(live.runtime)
        answer = await live.http.get(f"/stream/{task['id']}", headers={"Origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP
    assert "event: end" in answer.text


@pytest.mark.parametrize(
    "origin", ["*", "app.example", "https://app.example/", "https://a.example/x", "null", "https://"]
)
def test_what_is_no_origin_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("AUREA_CORS_ORIGINS", f"https://good.example:8443,{origin}")
    with pytest.raises(InvalidInput) as refusal:
        read_settings()
    assert refusal.value.issues[0].pointer == "AUREA_CORS_ORIGINS"


@pytest.mark.parametrize("path", ["/tasks", "/health", "/nope", "/tasks/nope", "/metrics", "/tasks?q=%FF"])
async def test_every_answer_tells_a_browser_to_do_nothing_with_it(door: Door, path: str) -> None:
    headers = (await door.http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in headers  # it would bind a developer's localhost
    assert "server" not in headers


async def test_production_insists_on_tls_and_shows_no_pages(database_url: str, redis_url: str) -> None:
    async with open_door(database_url, redis_url, env="production") as door:
        assert "max-age=" in (await door.http.get("/livez")).headers["strict-transport-security"]
        for path in ("/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect"):
            assert (await door.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("changes", "shown"), [({"env": "production", "aurea_docs": True}, 200), ({"aurea_docs": False}, 404)]
)
async def test_the_pages_are_shown_when_asked_for(
    database_url: str, redis_url: str, changes: dict[str, object], shown: int
) -> None:
    async with open_door(database_url, redis_url, **changes) as door:
        for path in ("/docs", "/openapi.json"):
            assert (await door.http.get(path)).status_code == shown


async def test_the_page_needs_no_other_host_and_lets_no_other_script_run(door: Door) -> None:
    answer = await door.http.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in answer.text + policy
    assert not re.findall(r"innerHTML|\bon\w+=|\bstyle=|eval\(|\bsrc=", answer.text)
    for element in ("script", "style"):
        (inside,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        assert f"{element}-src 'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'" in policy


def test_nobody_is_believed_to_be_a_proxy_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.server import server_options

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert server_options(Settings(_env_file=None))["proxy_headers"] is False
    told = server_options(Settings(_env_file=None, aurea_trusted_proxies="10.0.0.1, 10.1.0.0/16"))
    assert (told["proxy_headers"], told["forwarded_allow_ips"]) == (True, ["10.0.0.1", "10.1.0.0/16"])
