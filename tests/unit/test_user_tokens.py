"""Users of a Supabase project: none is let in by a forged token, and its published keys are asked for with measure."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from orchestrator.domain.errors import NotConfigured, Unauthorized, Unavailable
from orchestrator.domain.principal import GRANTABLE, USER_SCOPES, Kind, Scope
from orchestrator.operations.signature_keys import read_public_key
from orchestrator.operations.user_tokens import AGAIN_SECONDS, KEEP_SECONDS, RENEW_SECONDS, UserTokens
from orchestrator.testing import FakeClock
from tests.tokens import NOW, SECRET, USER, Project, b64, forgeries

URL = "https://project.supabase.co"
PROJECT = Project(URL)
FORGERIES = list(forgeries(PROJECT))


class Site:
    """The project's server, and a process that asks it."""

    def __init__(self, project: Project = PROJECT, secret: str | None = SECRET) -> None:
        self.project = project
        self.answer: Any = lambda: httpx2.Response(200, json=project.jwks)
        self.asked: list[str] = []
        self.clock = FakeClock(NOW)
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        runtime: Any = SimpleNamespace(clock=self.clock, http=http)
        self.users = UserTokens(runtime, URL, None if secret is None else SecretStr(secret))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(str(request.url))
        return self.answer()

    def away(self) -> httpx2.Response:
        raise httpx2.ConnectError("refused")


def test_there_are_enough_forgeries_and_each_is_another() -> None:
    assert len({what for what, _ in FORGERIES}) == len({text for _, text in FORGERIES}) == len(FORGERIES) >= 80


@pytest.mark.parametrize(("what", "text"), FORGERIES, ids=[what for what, _ in FORGERIES])
async def test_a_forged_token_is_refused(what: str, text: str) -> None:
    with pytest.raises(Unauthorized):
        await Site().users.identify(text)


async def test_good_tokens_of_every_kind_are_taken() -> None:
    site = Site()
    for text in (
        PROJECT.token(),
        PROJECT.shared(),
        PROJECT.shared(exp=PROJECT.now - 9),
        PROJECT.token(nbf=PROJECT.now + 9),
    ):
        principal = await site.users.identify(text)
        assert (principal.kind, principal.id, principal.tenant) == (Kind.USER, USER, USER)
        assert principal.scopes == USER_SCOPES
    assert (await site.users.identify(PROJECT.token(aud=["x", "authenticated"]))).id == USER


async def test_only_app_metadata_says_whose_and_what() -> None:
    said = {"tenant_id": "acme", "scopes": ["tasks:read", "admin", "no:such"]}
    principal = await Site().users.identify(PROJECT.token(app_metadata=said, user_metadata={"tenant_id": "theirs"}))
    assert (principal.tenant, principal.scopes) == ("acme", {Scope.TASKS_READ})
    own = await Site().users.identify(PROJECT.token(user_metadata=said, scopes=["admin"], tenant_id="theirs"))
    assert (own.tenant, own.scopes) == (USER, USER_SCOPES)
    everything = {"scopes": [scope.value for scope in Scope]}
    assert (await Site().users.identify(PROJECT.token(app_metadata=everything))).scopes == GRANTABLE
    assert (await Site().users.identify(PROJECT.token(app_metadata={"scopes": []}))).scopes == frozenset()


async def test_a_visitor_without_an_account_may_nothing_that_nobody_gave_him() -> None:
    assert (await Site().users.identify(PROJECT.token(is_anonymous=True))).scopes == frozenset()
    given = PROJECT.token(is_anonymous=True, app_metadata={"scopes": ["tasks:read"]})
    assert (await Site().users.identify(given)).scopes == {Scope.TASKS_READ}
    for role in ("anon", "service_role", 1, None):
        with pytest.raises(Unauthorized):
            await Site().users.identify(PROJECT.token(role=role))


async def test_what_is_missing_is_named() -> None:
    runtime: Any = SimpleNamespace(clock=FakeClock(NOW), http=None)
    with pytest.raises(NotConfigured) as lacking:
        await UserTokens(runtime, None, SecretStr(SECRET)).identify(PROJECT.shared())
    assert lacking.value.variable == "SUPABASE_URL"
    with pytest.raises(Unauthorized, match="SUPABASE_JWT_SECRET"):
        await Site(secret=None).users.identify(PROJECT.shared())


async def test_the_keys_are_fetched_once_for_all_who_come_at_once() -> None:
    site = Site()
    await asyncio.gather(*(site.users.identify(PROJECT.token()) for _ in range(50)))
    assert site.asked == [f"{URL}/auth/v1/.well-known/jwks.json"]


async def test_malformed_and_expired_tokens_do_not_reach_the_project() -> None:
    site = Site()
    for text in ("a.b.c", PROJECT.token(exp=PROJECT.now - 60), PROJECT.token(iss="https://elsewhere.example")):
        with pytest.raises(Unauthorized):
            await site.users.identify(text)
    assert site.asked == []


async def test_a_rotated_key_is_found_and_unknown_ones_are_asked_for_twice_a_minute() -> None:
    site = Site(Project(URL))
    await site.users.identify(site.project.token())
    successor = Project(URL)
    successor.key_id = "key-2"
    site.answer = lambda: httpx2.Response(200, json={"keys": [site.project.jwk, successor.jwk]})
    site.clock.advance(AGAIN_SECONDS)
    assert (await site.users.identify(successor.token())).id == USER
    assert (await site.users.identify(site.project.token())).id == USER
    stranger = Project(URL)
    stranger.key_id = "key-3"
    for _ in range(20):
        with pytest.raises(Unauthorized):
            await site.users.identify(stranger.token())
    assert len(site.asked) == 2
    site.answer = lambda: httpx2.Response(200, json={"keys": [successor.jwk]})
    site.clock.advance(AGAIN_SECONDS)
    with pytest.raises(Unauthorized):
        await site.users.identify(stranger.token())
    with pytest.raises(Unauthorized):
        await site.users.identify(site.project.token())  # it was taken back
    assert len(site.asked) == 3


async def test_keys_are_renewed_beside_requests_and_kept_for_an_hour_while_the_project_is_away() -> None:
    site = Site(Project(URL))
    long = site.project.token(exp=site.project.now + 9 * 3600)
    await site.users.identify(long)
    site.answer = site.away
    site.clock.advance(RENEW_SECONDS)
    assert (await site.users.identify(long)).id == USER
    await _settled(site)
    assert len(site.asked) == 2
    site.clock.advance(KEEP_SECONDS - RENEW_SECONDS - 1)
    assert (await site.users.identify(long)).id == USER
    await _settled(site)
    site.clock.advance(2)
    with pytest.raises(Unavailable):
        await site.users.identify(long)
    site.answer = lambda: httpx2.Response(200, json=site.project.jwks)
    site.clock.advance(2)
    assert (await site.users.identify(long)).id == USER


async def test_what_cannot_be_known_now_is_neither_taken_nor_refused() -> None:
    site = Site()
    site.answer = site.away
    for _ in range(5):
        with pytest.raises(Unavailable) as away:
            await site.users.identify(PROJECT.token())
        assert away.value.dependency == "supabase"
    assert len(site.asked) == 1
    assert (await site.users.identify(PROJECT.shared())).id == USER  # the secret is at hand
    site.answer = lambda: httpx2.Response(200, json=PROJECT.jwks)
    site.clock.advance(2)
    assert (await site.users.identify(PROJECT.token())).id == USER
    site.answer = site.away
    site.clock.advance(AGAIN_SECONDS)
    with pytest.raises(Unavailable):  # it may be a new key
        await site.users.identify(PROJECT.token({"kid": "key-2"}))


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(500, json=PROJECT.jwks),
        httpx2.Response(302, headers={"Location": "https://evil.example/jwks"}, json=PROJECT.jwks),
        httpx2.Response(200, content=b"<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"keys": {}}),
    ],
    ids=["broken", "elsewhere", "no JSON", "a list", "no list"],
)
async def test_an_answer_that_is_no_key_set_is_none(answer: httpx2.Response) -> None:
    site = Site()
    site.answer = lambda: answer
    with pytest.raises(Unavailable):
        await site.users.identify(PROJECT.token())
    assert len(site.asked) == 1


async def _settled(site: Site) -> None:
    published = site.users._published
    assert published is not None
    if published._fetching is not None:
        await published._fetching


SMALL_RSA = {"kty": "RSA", "n": b64(b"\xc5" + bytes(126) + b"\x01"), "e": "AQAB"}


@pytest.mark.parametrize(
    "jwk",
    [
        None, "key", {}, SMALL_RSA, {"kty": "oct", "k": b64(SECRET.encode())}, {**PROJECT.jwk, "crv": "P-384"},
        {**PROJECT.jwk, "alg": "HS256"}, {**PROJECT.jwk, "alg": "none"}, {**PROJECT.jwk, "alg": None},
        {**PROJECT.jwk, "use": "enc"}, {**PROJECT.jwk, "key_ops": ["sign"]}, {**PROJECT.jwk, "key_ops": "verify"},
        {**PROJECT.jwk, "kid": 1}, {**PROJECT.jwk, "x": PROJECT.jwk["y"]}, {**PROJECT.jwk, "x": 1},
        {**PROJECT.jwk, "kty": "RSA"}, {**PROJECT.jwk, "d": "AQAB"}, {**PROJECT.rsa_jwk, "alg": "RS512"},
    ],
    ids=itertools.count(),  # the keys are other ones in every process
)  # fmt: skip
def test_keys_that_are_not_to_check_signatures_with_are_left_out(jwk: Any) -> None:
    assert read_public_key(jwk) is None


def test_keys_without_words_on_their_use_are_for_their_one_algorithm() -> None:
    bare = {name: value for name, value in PROJECT.jwk.items() if name in ("kty", "crv", "x", "y")}
    rsa = {name: value for name, value in PROJECT.rsa_jwk.items() if name in ("kty", "n", "e")}
    assert [read_public_key(jwk).algorithm for jwk in (bare, rsa)] == ["ES256", "RS256"]  # type: ignore[union-attr]
