"""Render, by its REST API.

Render takes no idempotency key. What identifies a deploy of ours: it is not older than the newest one that was there
before we asked (recorded first, in Render's own time), it was triggered by the API, and it is made of the commit or
image that we asked for. Of several, the oldest: it is the one that followed our record.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import ValidationError

from handlers.mrg_deploy.deployment import Before, Deployment, Goal, State
from handlers.mrg_deploy.outside import Outside, Refused, read_json
from handlers.mrg_deploy.payload import Deploy
from orchestrator.sdk import Context

KEY_VARIABLE = "RENDER_API_KEY"
URL_VARIABLE = "RENDER_API_URL"
API_URL = "https://api.render.com/v1"

_PAGE = 20
_MOST_PAGES = 10
_UNDER_WAY: State = "under_way"
_STATUSES: dict[str, tuple[State, float]] = {
    "queued": (_UNDER_WAY, 0.05),
    "created": (_UNDER_WAY, 0.1),
    "build_in_progress": (_UNDER_WAY, 0.3),
    "pre_deploy_in_progress": (_UNDER_WAY, 0.6),
    "update_in_progress": (_UNDER_WAY, 0.75),
    "live": ("live", 0.9),
    "deactivated": ("replaced", 0.9),
    "build_failed": ("failed", 0.3),
    "pre_deploy_failed": ("failed", 0.6),
    "update_failed": ("failed", 0.75),
    "canceled": ("cancelled", 0.5),
}
_NOT_RENDER = f"this is not what Render answers: is {URL_VARIABLE} the address of its API?"
_ACCEPTED = 202
_NOT_TO_BE_STOPPED = frozenset({400, 404, 409})


class Render:
    """One service at Render."""

    title = "Render"

    def __init__(self, payload: Deploy, ctx: Context) -> None:
        """Raises Terminal naming RENDER_API_KEY when it is not set."""
        key = ctx.config.require(KEY_VARIABLE).strip()
        service = payload.service
        self._payload = payload
        self._base = (ctx.config.get(URL_VARIABLE) or API_URL).rstrip("/") + f"/services/{service}"
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._outside = Outside(
            ctx,
            self.title,
            [key],
            {
                401: f"the key in {KEY_VARIABLE} is not accepted; set a valid one",
                403: f"the key in {KEY_VARIABLE} may not do this with {service}; use one of a member of its workspace",
                404: f"the key in {KEY_VARIABLE} sees no such thing; is {service} the service's id (srv-...)?",
                409: f"{service} cannot do this in the state that it is in",
                410: f"{service} is gone",
            },
        )

    async def before(self) -> Before:
        newest = await self._first()
        live = await self._first(status="live")
        return Before(live=live, newest=newest, good=live)

    async def find(self, goal: Goal, before: Before) -> Deployment | None:
        ours = [each async for each in self._after(before.newest) if self._is_ours(each, goal)]
        return ours[-1] if ours else None

    async def start(self, goal: Goal, before: Before) -> Deployment | None:
        if goal.target is not None:
            answer = await self._call("POST", "/rollback", json={"deployId": goal.target.id})
        else:
            answer = await self._call("POST", "/deploys", json=self._wish())
        # 202 has no body: the deploy waits until another one is done, and is listed a little later.
        return None if answer.status_code == _ACCEPTED else _deployment(read_json(answer))

    async def look(self, deployment: Deployment) -> Deployment:
        return await self.named(deployment.id)

    async def stop(self, deployment: Deployment) -> Deployment:
        try:
            await self._call("POST", f"/deploys/{quote(deployment.id, safe='')}/cancel")
        except Refused as refusal:
            if refusal.status not in _NOT_TO_BE_STOPPED:
                raise
        return await self.named(deployment.id)

    async def earlier(self, before: Before) -> Deployment | None:
        """The deploy that was live before the live one. A rollback is undone to before what it went back to."""
        live = before.live
        if live is None:
            return None
        below, back_to = False, live.build if live.trigger == "rollback" else None
        async for each in self._deploys():
            if each.id == live.id:
                below = True
            elif below and back_to is not None:
                back_to = None if each.build == back_to else back_to
            elif below and each.state == "replaced" and each.build != live.build:
                return each
        return None

    async def named(self, deployment_id: str) -> Deployment:
        return _deployment(read_json(await self._call("GET", f"/deploys/{quote(deployment_id, safe='')}")))

    def _wish(self) -> dict[str, str]:
        payload = self._payload
        wish = {"clearCache": "clear" if payload.clear_cache else "do_not_clear"}
        if payload.commit is not None:
            wish["commitId"] = payload.commit
        if payload.image is not None:
            wish["imageUrl"] = payload.image
        return wish

    def _is_ours(self, each: Deployment, goal: Goal) -> bool:
        if goal.target is not None:
            return each.trigger in ("rollback", "api", None) and goal.target.source in (each.source, None)
        if each.trigger not in ("api", None):
            return False
        source = each.source or ""
        if self._payload.commit is not None:
            return source.startswith(self._payload.commit.lower())
        image = self._payload.image
        return image is None or source == image or source.endswith(f"/{image}")

    async def _first(self, **filters: str) -> Deployment | None:
        listed = read_json(await self._call("GET", "/deploys", params={"limit": "1", **filters}))
        return next(iter(_listed(listed)), (None, None))[0]

    async def _after(self, newest: Deployment | None) -> AsyncIterator[Deployment]:
        """Yield what came after the deploy that was the newest, newest first."""
        since = None if newest is None else newest.created_at
        async for each in self._deploys():
            if newest is not None and each.id == newest.id:
                return
            if since is None or each.created_at is None or each.created_at >= since:
                yield each

    async def _deploys(self) -> AsyncIterator[Deployment]:
        """Yield the service's deploys, newest first, as many as a search may look at."""
        params = {"limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            page = list(_listed(read_json(await self._call("GET", "/deploys", params=params))))
            for each, _ in page:
                yield each
            if len(page) < _PAGE or page[-1][1] is None:
                return
            params["cursor"] = page[-1][1]

    async def _call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self._outside.call(method, self._base + path, headers=self._headers, **options)


def _listed(body: Any) -> list[tuple[Deployment, str | None]]:
    """Return the deploys of a page, each with the cursor behind it."""
    if not isinstance(body, list):
        raise Refused(_NOT_RENDER, 0)
    return [(_deployment(entry.get("deploy")), entry.get("cursor")) for entry in body]


def _deployment(body: Any) -> Deployment:
    """Read a deploy; what Render adds one day is under way until we know it."""
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise Refused(_NOT_RENDER, 0)
    image = body.get("image") or {}
    status = str(body.get("status"))
    state, fraction = _STATUSES.get(status, (_UNDER_WAY, 0.5))
    try:
        return Deployment(
            id=body["id"],
            state=state,
            status=status,
            source=(body.get("commit") or {}).get("id") or image.get("ref"),
            digest=image.get("sha"),
            trigger=body.get("trigger"),
            created_at=body.get("createdAt"),
            fraction=fraction,
        )
    except ValidationError:
        raise Refused(_NOT_RENDER, 0) from None
