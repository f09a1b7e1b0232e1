"""A key's copy for Redis, as bytes. When it was last used is left out: that changes often and decides nothing."""

from datetime import datetime
from typing import Any

import orjson

from orchestrator.domain.api_key import ApiKey
from orchestrator.domain.ids import Tenant
from orchestrator.domain.principal import scopes_of

_MOMENTS = ("created_at", "expires_at", "revoked_at")


def write_copy(key: ApiKey) -> bytes:
    """Equal bytes for equal keys."""
    return orjson.dumps(
        {
            "id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "env": key.env,
            "hash": key.hash.hex(),
            "scopes": sorted(key.scopes),
            "created_at": key.created_at,
            "created_by": key.created_by,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "rotated_to": key.rotated_to,
        }
    )


def read_copy(copy: bytes) -> ApiKey:
    """A scope that this version does not know gives nothing."""
    fields: dict[str, Any] = orjson.loads(copy)
    moments = {name: fields[name] and datetime.fromisoformat(fields[name]) for name in _MOMENTS}
    scopes = scopes_of(fields["scopes"])
    tenant = Tenant(fields["tenant"])
    return ApiKey(**{**fields, **moments, "tenant": tenant, "hash": bytes.fromhex(fields["hash"]), "scopes": scopes})
