"""/keys: API keys of the caller's tenant. A key is shown once, in the answer that makes it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import shapes
from app.audit import note_act
from app.deps import Cursor, Limit, PrincipalOf, RuntimeOf, desk_of
from app.issues import validated
from app.openapi import Body
from app.render import answer, page
from app.request_body import read_json
from orchestrator.domain.api_key import ApiKey
from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.outbox import Durability
from orchestrator.domain.principal import GRANTABLE, Scope, scopes_of
from orchestrator.operations import api_keys
from orchestrator.operations.request import Moment

router = APIRouter(tags=["keys"])

_LONGEST_OVERLAP_SECONDS = 30 * 86400
_PLAIN = r"^[^\x00-\x1f\x7f]*$"
KeyId = Annotated[str, Path(alias="id", description="A key's id: the eight characters behind its environment.")]


class NewKey(BaseModel):
    """A key to make. Nobody gives it more scopes than he has himself, or a longer life than his own key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=_PLAIN, description="What it is for.")]
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(Scope), examples=[["tasks:read"]])]
    expires_at: Annotated[Moment | None, Field(description="Null: it does not end by itself.")] = None


class Rotation(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: Annotated[
        float,
        Field(ge=0, le=_LONGEST_OVERLAP_SECONDS, allow_inf_nan=False, description="How long the old one stays good."),
    ] = 3600
    expires_at: Annotated[Moment | None, Field(description="Of the new one. Null: as the old one would have.")] = None


@router.post(
    "/keys",
    operation_id="keys_create",
    status_code=201,
    response_model=shapes.ShownKey,
    openapi_extra=Body(NewKey, {"name": "deployments", "scopes": ["tasks:read", "tasks:write"], "expires_at": None}),
)
async def create(request: Request, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Make a key for the tenant. `key` is the key itself: it is shown this once and kept nowhere."""
    wanted = validated(NewKey, await read_json(request, runtime.limits.max_body_bytes))
    env, scopes = desk_of(request).env, _scopes(wanted.scopes)
    key, text = await api_keys.create(runtime, principal, env, wanted.name, scopes, wanted.expires_at)
    note_act(request, key.id, scopes=" ".join(sorted(key.scopes)))
    return answer({**_document(key), "key": text}, 201)


@router.get("/keys", operation_id="keys_list", response_model=shapes.Page[shapes.Key])
async def list_keys(principal: PrincipalOf, runtime: RuntimeOf, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the tenant's keys, newest first, those that ended too; never the keys themselves."""
    found = await api_keys.page(runtime, principal.tenant, cursor, limit)
    return page([_document(key) for key in found.items], found.next_cursor)


@router.delete("/keys/{id}", operation_id="keys_revoke", response_model=shapes.RevokedKey)
async def revoke(key_id: KeyId, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Revoke a key: within five seconds it opens nothing anywhere, and its streams end. A repeat changes nothing.

    While Postgres is away `durability` says that Redis keeps the revocation until then.
    """
    key, durability = await api_keys.revoke(runtime, principal, key_id)
    kept = {} if durability is Durability.POSTGRES else {"durability": durability}
    return answer({**_document(key), **kept})


@router.post(
    "/keys/{id}/rotate",
    operation_id="keys_rotate",
    status_code=201,
    response_model=shapes.ShownKey,
    openapi_extra=Body(Rotation, {"overlap_seconds": 3600}),
)
async def rotate(key_id: KeyId, request: Request, principal: PrincipalOf, runtime: RuntimeOf) -> Response:
    """Replace a key by one with its name and scopes, shown this once; the old one is good until the overlap ends."""
    wanted = validated(Rotation, await read_json(request, runtime.limits.max_body_bytes))
    key, text = await api_keys.rotate(runtime, principal, key_id, wanted.overlap_seconds, wanted.expires_at)
    note_act(request, key_id, rotated_to=key.id)
    return answer({**_document(key), "key": text}, 201)


def _scopes(names: list[str]) -> list[Scope]:
    """Raises InvalidInput, each unknown one with its place."""
    if unknown := [place for place, name in enumerate(names) if not scopes_of([name])]:
        fix = f"is no scope: use {', '.join(sorted(GRANTABLE))}"
        raise InvalidInput(f"/scopes/{unknown[0]} {fix}", [Issue(f"/scopes/{place}", fix) for place in unknown])
    return [Scope(name) for name in names]


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "rotated_to": key.rotated_to,
    }
