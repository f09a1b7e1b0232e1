"""Master keys as they are configured: `k2:<base64 of 32 bytes>,k1:<base64>`. The first seals, all of them open."""

import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MAKE_ONE = "make one with `openssl rand -base64 32`"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What the keys of tenants are derived from; its id stands beside whatever was sealed under it."""

    id: str
    secret: bytes = field(repr=False)


def read_master_keys(text: str) -> tuple[MasterKey, ...]:
    """Return the keys in their order. Raises ValueError with what to mend, and none of the secrets."""
    keys = tuple(_read(part.strip(), place) for place, part in enumerate(text.split(","), 1))
    for what, values in (("id", [key.id for key in keys]), ("secret", [key.secret for key in keys])):
        if len(set(values)) < len(values):
            raise ValueError(f"two keys have the same {what}: give each its own")
    return keys


def check_master_keys(text: str) -> str:
    """Return the text if keys can be read from it; raises ValueError as `read_master_keys` does."""
    read_master_keys(text)
    return text


def check_tenants(tenants: Sequence[str], keys: str | None) -> None:
    """Raises ValueError when tenants are to be encrypted and there is no key."""
    if tenants and keys is None:
        raise ValueError(f"it needs AUREA_ENCRYPTION_KEYS=k1:<key>; {_MAKE_ONE}")


def _read(part: str, place: int) -> MasterKey:
    key_id, colon, secret = part.partition(":")
    if not colon or not _ID.fullmatch(key_id):
        raise ValueError(f"key {place} has to be <id>:<base64>, the id 1 to 32 of the characters A-Z a-z 0-9 _ -")
    try:
        decoded = b64decode(secret.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raise ValueError(f"the key {key_id} is not base64: {_MAKE_ONE}") from None
    if len(decoded) != KEY_BYTES:
        raise ValueError(f"the key {key_id} has {len(decoded)} bytes, not {KEY_BYTES}: {_MAKE_ONE}")
    return MasterKey(key_id, decoded)
