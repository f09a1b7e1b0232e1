"""What the claims of a signed-in user's token say, once its signature is known to be good.

Only `app_metadata` is believed: its user cannot change it. `user_metadata` is his own, and is not read.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from orchestrator.domain.errors import Unauthorized
from orchestrator.domain.ids import Tenant, is_tenant
from orchestrator.domain.jws import parse_object
from orchestrator.domain.principal import GRANTABLE, USER_SCOPES, Kind, Principal, Scope, scopes_of

AUDIENCE = "authenticated"
LEEWAY = timedelta(seconds=10)
"""How far clocks may be apart."""
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def principal_of(claims: bytes, issuer: str, now: datetime) -> Principal:
    """Return who the token is of. Raises Unauthorized for one that is not of this issuer, not for us, or not now."""
    said = parse_object(claims, "body")
    if said.get("iss") != issuer:
        raise Unauthorized(f"this token is not of {issuer}: send the access token of a user who signed in there")
    audience = said.get("aud")
    if audience != AUDIENCE and not (isinstance(audience, list) and AUDIENCE in audience):
        raise Unauthorized(f"this token is not for {AUDIENCE} users: send the access token of one who signed in")
    if said.get("role", AUDIENCE) != AUDIENCE:
        raise Unauthorized(f"this token has not the role {AUDIENCE}: send the access token of one who signed in")
    until = _until(said, now)
    subject = said.get("sub")
    if not isinstance(subject, str) or not is_tenant(subject):
        raise Unauthorized("this token names no user: its claim sub is missing or unusable")
    metadata = said.get("app_metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise Unauthorized("this token's claim app_metadata is not an object")
    scopes = _scopes(metadata, anonymous=said.get("is_anonymous") is True)
    return Principal(_tenant(metadata, subject), Kind.USER, subject, scopes, until)


def _until(said: Mapping[str, Any], now: datetime) -> datetime:
    if "exp" not in said:
        raise Unauthorized("this token never ends, which is not accepted: its claim exp is missing")
    ends = _moment(said, "exp")
    if now >= ends + LEEWAY:
        raise Unauthorized("this token expired: sign in again, or refresh it")
    for name in ("nbf", "iat"):
        if name in said and now + LEEWAY < _moment(said, name):
            raise Unauthorized(f"this token is not good yet: its claim {name} lies ahead")
    return ends


def _moment(said: Mapping[str, Any], name: str) -> datetime:
    value = said[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value < 0:
        raise Unauthorized(f"this token's claim {name} is not a time in seconds")
    return _LAST if value >= _LAST.timestamp() else datetime.fromtimestamp(value, UTC)


def _tenant(metadata: Mapping[str, Any], subject: str) -> Tenant:
    name = metadata.get("tenant_id")
    if name is None:
        return Tenant(subject)
    if not isinstance(name, str) or not is_tenant(name):
        raise Unauthorized("this token's claim app_metadata.tenant_id is not the name of a tenant")
    return Tenant(name)


def _scopes(metadata: Mapping[str, Any], *, anonymous: bool) -> frozenset[Scope]:
    """What the project's administrators wrote there; else a few, and none for a visitor who has no account."""
    names = metadata.get("scopes")
    if names is None:
        return frozenset() if anonymous else USER_SCOPES
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unauthorized("this token's claim app_metadata.scopes is not a list of names")
    return scopes_of(names) & GRANTABLE
