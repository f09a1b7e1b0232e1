"""Keys that signatures are checked with: each is for one algorithm, whatever a token says.

The cryptography is PyJWT's. What it lets through is refused here: keys for another use, small RSA keys, curves and
algorithms that were not asked for.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt
from jwt.algorithms import Algorithm, get_default_algorithms

from orchestrator.domain.jws import Jws

_ALGORITHMS = get_default_algorithms()
_SMALLEST_RSA_BITS = 2048
SHARED: Final = "HS256"
SIGNED_BY = frozenset({SHARED, "ES256", "RS256"})


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """One key and the algorithm it is for."""

    id: str | None
    algorithm: Literal["HS256", "ES256", "RS256"]
    key: Any

    def __repr__(self) -> str:
        return f"SignatureKey(id={self.id!r}, algorithm={self.algorithm!r})"

    def signed(self, token: Jws) -> bool:
        """Whether this key signed the token, by the algorithm it is for."""
        if token.algorithm != self.algorithm:
            return False
        algorithm: Algorithm = _ALGORITHMS[self.algorithm]
        return bool(algorithm.verify(token.signed, self.key, token.signature))


def shared_secret(secret: bytes) -> SignatureKey:
    """Return the key for HS256 that both sides know."""
    return SignatureKey(None, SHARED, _ALGORITHMS["HS256"].prepare_key(secret))


def read_public_key(jwk: Any) -> SignatureKey | None:
    """Return the key of a JWK (RFC 7517), or None for one that is not ours to check signatures with."""
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    key_id, family = jwk.get("kid"), (jwk.get("kty"), jwk.get("crv"))
    if key_id is not None and not isinstance(key_id, str):
        return None
    algorithm: Literal["ES256", "RS256"]
    if family == ("EC", "P-256"):
        algorithm = "ES256"
    elif family == ("RSA", None):
        algorithm = "RS256"
    else:
        return None
    if jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, TypeError, ValueError):
        return None
    if algorithm == "RS256" and key.key_size < _SMALLEST_RSA_BITS:
        return None
    return SignatureKey(key_id, algorithm, key)


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    """A private key has no business in a public list: who lists one has lost it."""
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations and "d" not in jwk
