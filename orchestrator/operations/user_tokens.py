"""Recognising users of a Supabase project by the tokens it signs: with its shared secret, or its published keys.

The published keys are fetched by the guarded client when a token first needs them, and again every ten minutes beside
the requests. A token that names an unknown key makes them be fetched anew, twice a minute at most. While the project's
server is away the keys at hand stay good for an hour.
"""

import asyncio
from contextlib import suppress

import httpx2
import structlog
from pydantic import SecretStr

from orchestrator.domain import jws
from orchestrator.domain.errors import AureaError, NotConfigured, Unauthorized, Unavailable
from orchestrator.domain.principal import Principal
from orchestrator.domain.user_token import principal_of
from orchestrator.egress.client import MAX_RESPONSE_BYTES
from orchestrator.operations.signature_keys import SHARED, SIGNED_BY, SignatureKey, read_public_key, shared_secret
from orchestrator.runtime import Runtime

_log = structlog.get_logger("orchestrator.user_tokens")

RENEW_SECONDS = 600.0
KEEP_SECONDS = 3600.0
"""As long as the tokens of Supabase live: nearly all that the old keys signed have expired by then."""
AGAIN_SECONDS = 30.0
_FIRST_AGAIN_SECONDS = 2.0
_FETCH_SECONDS = 5.0
_MOST_BYTES = 64 * 1024
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, AureaError)


class UserTokens:
    """One process' knowledge of a project's keys."""

    def __init__(self, runtime: Runtime, supabase_url: str | None, secret: SecretStr | None) -> None:
        self._runtime = runtime
        self._issuer = None if supabase_url is None else f"{supabase_url.rstrip('/')}/auth/v1"
        self._shared = None if secret is None else shared_secret(secret.get_secret_value().encode())
        self._published = None if self._issuer is None else PublishedKeys(runtime, self._issuer)

    async def identify(self, text: str) -> Principal:
        """Return who sent a token, until it expires.

        Raises Unauthorized with what is wrong, NotConfigured when users are not accepted here, Unavailable when the
        project's keys are needed and cannot be had.
        """
        token = jws.parse(text)
        if self._issuer is None or self._published is None:
            raise NotConfigured("SUPABASE_URL", "to the project whose users may call")
        principal = principal_of(token.claims, self._issuer, self._runtime.clock.now())
        if not await self._is_signed(token, self._published):
            raise Unauthorized("this token's signature is not of a key that this system trusts")
        return principal

    async def _is_signed(self, token: jws.Jws, published: "PublishedKeys") -> bool:
        """Our keys say what they are for; the token only says which of them it means."""
        if token.algorithm not in SIGNED_BY:
            return False
        if token.algorithm == SHARED:
            if self._shared is None:
                raise Unauthorized(
                    "this token is signed with the project's shared secret: set SUPABASE_JWT_SECRET here"
                )
            return self._shared.signed(token)
        key = await published.find(token.key_id)
        return key is not None and key.signed(token)

    async def stop(self) -> None:
        """Leave off fetching."""
        if self._published is not None:
            await self._published.stop()


class PublishedKeys:
    """The keys at `<issuer>/.well-known/jwks.json`."""

    def __init__(self, runtime: Runtime, issuer: str) -> None:
        self._runtime = runtime
        self._url = f"{issuer}/.well-known/jwks.json"
        self._keys: list[SignatureKey] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> SignatureKey | None:
        """Return the key of this id, or without one the only key there is.

        Raises Unavailable when that cannot be said: the keys were never had, are too old, or may have changed.
        """
        age = self._since(self._fetched_at)
        if age >= KEEP_SECONDS:
            await self._fetch(_FIRST_AGAIN_SECONDS)
            if self._since(self._fetched_at) >= KEEP_SECONDS:
                raise Unavailable("supabase", 5)
        elif age >= RENEW_SECONDS and self._since(self._tried_at) >= AGAIN_SECONDS:
            self._begin()
        key = self._named(key_id)
        if key is None:
            await self._fetch(AGAIN_SECONDS)
            key = self._named(key_id)
            if key is None and self._failed:
                raise Unavailable("supabase", 5)
        return key

    def _named(self, key_id: str | None) -> SignatureKey | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.id == key_id), None)

    def _since(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._runtime.clock.monotonic() - moment

    async def _fetch(self, pause_seconds: float) -> None:
        """Fetch the keys, or wait for who does already; not when that was tried within the pause."""
        if self._fetching is not None or self._since(self._tried_at) >= pause_seconds:
            await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._runtime.clock.monotonic()
            self._fetching = asyncio.create_task(self._renew())
        return self._fetching

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                self._keys = await self._read()
            self._fetched_at, self._failed = self._runtime.clock.monotonic(), False
        except _FAILURES as error:
            self._failed = True
            _log.warning("published_keys_unreachable", url=self._url, reason=str(error) or type(error).__name__)
        finally:
            self._fetching = None

    async def _read(self) -> list[SignatureKey]:
        answer = await self._runtime.http.get(
            self._url, headers={"Accept": "application/json"}, extensions={MAX_RESPONSE_BYTES: _MOST_BYTES}
        )
        answer.raise_for_status()
        document = answer.json()
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("the answer is no JSON Web Key Set")
        return [key for jwk in listed if (key := read_public_key(jwk)) is not None]

    async def stop(self) -> None:
        """Leave off fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching
