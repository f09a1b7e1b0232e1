"""Tokens of users: a project that signs them, and whoever forges them."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECRET = "a-secret-of-a-project-that-is-long-enough"
USER = "0d4f7f3a-0000-4000-8000-0123456789ab"
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
_VECTORS = Path(__file__).parent / "fixtures" / "wycheproof_jws.jsonl"
_BODY = '{"iss":"%s","aud":"authenticated","sub":"%s","exp":%d%s}'


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


class Project:
    """A Supabase project: what it signs with, and what it publishes."""

    def __init__(self, url: str, now: datetime = NOW) -> None:
        self.issuer = f"{url}/auth/v1"
        self.now = int(now.timestamp())
        self.curve_key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = "key-1"
        self.rsa_jwk = next(
            group["key"]
            for group in map(orjson.loads, _VECTORS.read_text().splitlines())
            if group["key"].get("alg") == "RS256"
        )

    @property
    def jwk(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.curve_key.public_key()))
        return {**public, "kid": self.key_id, "alg": "ES256", "use": "sig"}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk, {**self.rsa_jwk, "kid": "rsa-1"}]}

    @property
    def pem(self) -> bytes:
        public = self.curve_key.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def claims(self, **changes: Any) -> dict[str, Any]:
        said = {
            "iss": self.issuer,
            "aud": "authenticated",
            "sub": USER,
            "exp": self.now + 3600,
            "role": "authenticated",
        }
        return {name: value for name, value in {**said, **changes}.items() if value is not ...}

    def token(self, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """Signed with the published key (ES256); a claim that is ... is left out."""
        return self.signed(self.curve_key, "ES256", {"kid": self.key_id, **(headers or {})}, self.claims(**changes))

    def shared(self, **changes: Any) -> str:
        """Signed with the shared secret (HS256)."""
        return self.signed(SECRET, "HS256", {}, self.claims(**changes))

    def signed(self, key: Any, algorithm: str, headers: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode(claims, key, algorithm, {name: value for name, value in headers.items() if value is not ...})

    def by_hand(
        self, header: Any, claims: Any, secret: bytes = SECRET.encode(), cut: Callable[[str], str] = str
    ) -> str:
        """Any header and claims, as text or JSON, under an HMAC with the secret."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
        text = ".".join(b64(part) for part in parts)
        return cut(f"{text}.{b64(hmac.new(secret, text.encode(), sha256).digest())}")

    def body(self, more: str = "") -> bytes:
        """Good claims, and whatever is put behind them."""
        return (_BODY % (self.issuer, USER, self.now + 3600, more)).encode()


def forgeries(project: Project) -> Iterator[tuple[str, str]]:
    """Tokens that nobody may accept, each with what is wrong with it."""
    yield from _of_algorithms(project)
    yield from _of_headers(project)
    yield from _of_spelling(project)
    yield from _of_claims(project)


def _of_algorithms(project: Project) -> Iterator[tuple[str, str]]:
    good = project.token()
    head, body, signature = good.split(".")
    other = Project("https://elsewhere.example")
    for name in ("none", "None", "NONE", "nOnE", ""):
        yield f"alg {name!r} unsigned", f"{b64(json.dumps({'alg': name}).encode())}.{body}."
        yield f"alg {name!r} signed", f"{b64(json.dumps({'alg': name}).encode())}.{body}.{signature}"
    jwk = json.dumps(project.jwk).encode()
    for what, secret in (("PEM", project.pem), ("PEM without its end", project.pem.strip()), ("JWK", jwk)):
        header = {"alg": "HS256", "kid": project.key_id}
        yield f"HMAC with the published key as {what}", project.by_hand(header, project.claims(), secret)
    yield "HMAC with nothing", project.by_hand({"alg": "HS256"}, project.claims(), b"")
    yield "HMAC with another secret", project.by_hand({"alg": "HS256"}, project.claims(), b"guess" * 10)
    yield "HS512 with the secret", project.signed(SECRET * 2, "HS512", {}, project.claims())
    yield "HS256 said of an ES256 signature", f"{b64(json.dumps({'alg': 'HS256'}).encode())}.{body}.{signature}"
    yield (
        "RS256 said of the ES256 key",
        f"{b64(json.dumps({'alg': 'RS256', 'kid': 'key-1'}).encode())}.{body}.{signature}",
    )
    for said in ("RS256", "ES384", "HS256"):
        head_of = b64(json.dumps({"alg": said, "kid": project.key_id}).encode())
        signed = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
            f"{head_of}.{body}".encode(), project.curve_key
        )
        yield f"{said} said of what the ES256 key did sign", f"{head_of}.{body}.{b64(signed)}"
    yield "another's key", project.signed(other.curve_key, "ES256", {"kid": project.key_id}, project.claims())
    yield "no signature", f"{head}.{body}."
    yield "a cut signature", good[:-4]
    yield "a signature of nothing", f"{head}.{body}.{b64(bytes(64))}"
    richer = project.body(',"role":"admin"')
    yield "a changed body", f"{head}.{b64(richer)}.{signature}"
    yield "a changed header", f"{b64(json.dumps({'alg': 'ES256', 'kid': 'key-1', 'x': 1}).encode())}.{body}.{signature}"


def _of_headers(project: Project) -> Iterator[tuple[str, str]]:
    stranger = Project("https://elsewhere.example")
    jwk = {**stranger.jwk, "kid": "key-9"}
    for name, value in (("jwk", jwk), ("jku", "https://evil.example/jwks"), ("x5u", "https://evil.example/c.pem")):
        headers = {"kid": "key-9", name: value}
        yield f"{name} of its own", stranger.signed(stranger.curve_key, "ES256", headers, project.claims())
    for kid in ("../../dev/null", "' or 1=1 --", "key-1\x00", "", "key-2"):
        yield f"kid {kid!r}", stranger.signed(stranger.curve_key, "ES256", {"kid": kid}, project.claims())
    yield "crit", project.token({"crit": ["exp"]})
    yield "an empty crit", project.by_hand({"alg": "HS256", "crit": []}, project.claims())
    yield "b64 false", project.by_hand({"alg": "HS256", "b64": False}, project.claims())
    yield "kid a number", project.by_hand({"alg": "HS256", "kid": 1}, project.claims())
    yield "alg a list", project.by_hand({"alg": ["HS256"]}, project.claims())
    yield "an encrypted one's type", project.by_hand({"alg": "HS256", "typ": "JWE"}, project.claims())
    yield "a header twice", project.by_hand(b'{"alg":"none","alg":"HS256"}', project.claims())
    yield "a header that is a list", project.by_hand([], project.claims())


def _of_spelling(project: Project) -> Iterator[tuple[str, str]]:
    good = project.shared()
    header = {"alg": "HS256"}
    yield "padded", f"{good}="
    yield "padded in the middle", good.replace(".", "=.", 1)
    yield "a space", good.replace(".", " .", 1)
    yield "a line's end in it", good.replace(".", "\r.", 1)
    yield "the other alphabet", project.by_hand(header, project.body(',"x":"\xff\xfe>>>???"'), cut=_plain_alphabet)
    yield "bits that mean nothing", project.by_hand(header, project.claims(), cut=_unused_bits)
    yield "nothing but dots", ".."
    yield "no body", f"{good.split('.')[0]}..{good.split('.')[2]}"
    yield "8 KiB and more", project.shared(x="y" * 8192)
    yield "deep", project.by_hand(header, b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}")
    yield "a body that is a list", project.by_hand(header, [])
    yield "a body that is no JSON", project.by_hand(header, b"exp")
    yield "a body that is no UTF-8", project.by_hand(header, b'{"sub":"\xff"}')
    yield "NaN", project.by_hand(header, project.body(',"nbf":NaN'))
    yield "a claim twice", project.by_hand(header, project.body(f',"sub":"{USER[::-1]}"'))
    yield (
        "an inner name twice",
        project.by_hand(header, project.body(',"app_metadata":{"tenant_id":"a","tenant_id":"b"}')),
    )


def _of_claims(project: Project) -> Iterator[tuple[str, str]]:
    now = project.now
    for name in ("exp", "sub", "aud", "iss"):
        yield f"no {name}", project.token(**{name: ...})
    for value in ("x", str(now + 3600), None, True, -1, now - 11):
        yield f"exp {value!r}", project.by_hand({"alg": "HS256"}, project.claims(exp=value))
    yield "exp 1e400", project.by_hand({"alg": "HS256"}, project.body().replace(str(now + 3600).encode(), b"1e400"))
    yield "not yet", project.token(nbf=now + 60)
    yield "made later", project.token(iat=now + 60)
    yield "nbf true", project.by_hand({"alg": "HS256"}, project.claims(nbf=True))
    yield "nbf a text", project.by_hand({"alg": "HS256"}, project.claims(nbf="now"))
    for name, values in {
        "aud": ("anon", ["anon"], "authenticated,x", {"authenticated": 1}),
        "iss": ("supabase", "https://elsewhere.example/auth/v1", project.issuer + "/", [project.issuer]),
        "sub": ("", 7, "a b", "x" * 65, "a\n", ["a"]),
    }.items():
        for value in values:
            yield f"{name} {str(value)[:20]!r}", project.by_hand({"alg": "HS256"}, project.claims(**{name: value}))
    for metadata in (
        [],
        {"tenant_id": ""},
        {"tenant_id": "a b"},
        {"tenant_id": "a\n"},
        {"tenant_id": 7},
        {"scopes": "admin"},
    ):
        yield f"app_metadata {metadata}", project.token(app_metadata=metadata)
    yield "the project's own key", project.shared(iss="supabase", role="service_role", sub=..., aud=...)


def _plain_alphabet(text: str) -> str:
    assert set(text) & {"-", "_"}
    return text.replace("-", "+").replace("_", "/")


def _unused_bits(text: str) -> str:
    """The last digit of an HMAC-SHA256 in base64 carries two bits of nothing."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + digits[digits.index(text[-1]) + 1]
