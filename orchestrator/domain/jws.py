"""A signed token taken apart, strictly: what two readers could read in two ways is refused.

Nothing here trusts it: the header's words are claims as much as the body's. `jku`, `x5u`, `jwk` and their like are not
looked at; whose key it is, and which algorithm that is for, is decided by our keys alone.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import Unauthorized

MAX_BYTES = 8192
_ENCODED = re.compile(r"[A-Za-z0-9_-]+")
_SHAPE = re.compile(r"[^.]*\.[^.]*\.[^.]*")
_TYPES = ("JWT", None)


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS, well formed; `claims` is what its author says."""

    algorithm: str
    key_id: str | None
    claims: bytes
    signed: bytes
    """The bytes that the signature is over."""
    signature: bytes


def looks_like_one(text: str) -> bool:
    """Whether somebody meant this as a signed token: three parts between dots."""
    return _SHAPE.fullmatch(text) is not None


def parse(text: str) -> Jws:
    """Take a token apart. Raises Unauthorized, with what is wrong."""
    if len(text) > MAX_BYTES:
        raise Unauthorized(f"this token is longer than {MAX_BYTES} bytes")
    parts = text.split(".")
    if len(parts) != 3:
        raise Unauthorized("this token is no JWT: it has to have three parts")
    head, claims, signature = (_decoded(part) for part in parts)
    header = parse_object(head, "header")
    if "crit" in header or header.get("b64", True) is not True:
        raise Unauthorized("this token asks for an extension that is not known here")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise Unauthorized("this token's header names no algorithm, or no usable key")
    if header.get("typ") not in _TYPES:
        raise Unauthorized("this token is no JWT: its type says so")
    return Jws(algorithm, key_id, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def parse_object(text: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object that every reader reads alike. Raises Unauthorized."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unauthorized(f"this token's {what} is not one JSON object with each name once")
    return value


def _decoded(part: str) -> bytes:
    """Take off base64url without padding; each value has one spelling, so that no token has two."""
    if not _ENCODED.fullmatch(part) or len(part) % 4 == 1:
        raise Unauthorized("this token is no JWT: a part of it is empty, or not base64url without padding")
    value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(value).decode().rstrip("=") != part:
        raise Unauthorized("this token is no JWT: a part of it has bits that mean nothing")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands there twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
