"""API keys: how one is spelled, and what is kept of it.

A key reads `aur_<env>_<id>_<secret><checksum>`. Whoever knows the id knows nothing: the secret is 190 random bits, and
only the SHA-256 of the whole key is kept, which needs no slow hash for that reason. The checksum (CRC32, as in GitHub's
tokens) tells a mistyped key without asking any store, and a finding of a secret scanner from a look-alike.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from zlib import crc32

from orchestrator.domain.ids import Tenant
from orchestrator.domain.principal import Kind, Principal, Scope

PREFIX = "aur_"
RANDOM_BYTES = 48
"""What `mint` wants."""
ENVS: Mapping[str, str] = {"development": "dev", "test": "test", "production": "prod"}
"""ENV as it stands in a key: a key of one system is recognised where it does not belong."""
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_DIGITS, _SECRET_DIGITS, _CHECKSUM_DIGITS = 8, 32, 6
_SHAPE = re.compile(rf"(aur_(dev|test|prod)_([0-9A-Za-z]{{{_ID_DIGITS}}})_[0-9A-Za-z]{{32}})([0-9A-Za-z]{{6}})")
_ID = re.compile(r"[0-9A-Za-z]{8}")
NOBODYS_HASH = bytes(32)
"""In place of the hash of a key that does not exist: no key has it, and comparing with it takes as long."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key; `text` is shown once and kept nowhere."""

    text: str
    id: str
    hash: bytes

    def __repr__(self) -> str:
        return f"Minted(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Presented:
    """A key as somebody sent it: well spelled, and no more is known of it."""

    id: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key."""

    id: str
    tenant: Tenant
    name: str
    env: str
    hash: bytes
    scopes: frozenset[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_to: str | None = None
    """The key that replaces it; it ends with its overlap."""

    @property
    def prefix(self) -> str:
        """The part of it that is no secret."""
        return f"{PREFIX}{self.env}_{self.id}"

    def is_good(self, now: datetime) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        return Principal(self.tenant, Kind.KEY, self.id, self.scopes, self.expires_at)


def mint(env: str, randomness: bytes) -> Minted:
    """Make a key for an environment (a value of ENVS) out of RANDOM_BYTES random bytes."""
    id_bytes, secret_bytes = randomness[:16], randomness[16:RANDOM_BYTES]
    key_id = _base62(int.from_bytes(id_bytes), _ID_DIGITS)
    body = f"{PREFIX}{env}_{key_id}_{_base62(int.from_bytes(secret_bytes), _SECRET_DIGITS)}"
    text = body + _checksum(body)
    return Minted(text, key_id, _hash(text))


def parse(text: str) -> Presented | None:
    """Return a key that was sent; None when it is misspelled, whatever the stores know."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or not hmac.compare_digest(_checksum(shape[1]), shape[4]):
        return None
    return Presented(shape[3], _hash(text))


def opens(presented: Presented, key: ApiKey | None) -> bool:
    """Whether it is this key. It takes as long when there is no such key as when the secret is wrong."""
    return hmac.compare_digest(presented.hash, NOBODYS_HASH if key is None else key.hash)


def is_key_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(crc32(body.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    """Return the last `digits` digits."""
    spelled = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        spelled.append(_ALPHABET[digit])
    return "".join(reversed(spelled))
