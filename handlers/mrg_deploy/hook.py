"""Any system with a deploy hook: what to call stands in the payload.

Each request that begins something carries an `Idempotency-Key`, the same in every attempt of the task. A system that
knows no such keys can be asked first (`find`), by the same key in another place.
"""

from collections.abc import Mapping
from typing import Any

import httpx2

from handlers.mrg_deploy import placeholders
from handlers.mrg_deploy.deployment import Before, Deployment, Goal, State
from handlers.mrg_deploy.hook_payload import HOSTS_VARIABLE, Ask, Hook, Lookup
from handlers.mrg_deploy.outside import Outside, Refused, read_json
from handlers.mrg_deploy.payload import Deploy
from orchestrator.sdk import Context, Terminal

_PREVIOUS = Deployment(id="the deployment before", state="replaced", status="unknown")
"""What a rollback request leads to that names no target."""


class DeployHook:
    """One service behind a deploy hook."""

    title = "the deploy hook"

    def __init__(self, payload: Deploy, hook: Hook, ctx: Context) -> None:
        """Raises Terminal naming a variable that is not set."""
        secrets = {name: ctx.config.require(variable).strip() for name, variable in hook.secrets.items()}
        hosts = ctx.config.require(HOSTS_VARIABLE) if secrets else ""
        self._hosts = {host.strip().lower() for host in hosts.split(",")}
        self._hook = hook
        self._payload = payload
        self._ctx = ctx
        self._values = payload.placeholders | {"task_id": ctx.task_id}
        self._values |= {f"{placeholders.SECRETS}{name}": secret for name, secret in secrets.items()}
        named = ", ".join(hook.secrets.values()) or "no secret"
        refused = f"the request carries {named}; is it valid, and allowed to do this?"
        self._outside = Outside(ctx, self.title, list(secrets.values()), {401: refused, 403: refused})

    async def before(self) -> Before:
        hook = self._hook
        live = await self._lookup(hook.current, self._values, "live")
        if hook.rollback is None:
            return Before(live=live, hindrance="hook.rollback is not given")
        if "target" not in set(placeholders.names(hook.rollback.texts)):
            return Before(live=live, good=live or _PREVIOUS)
        return Before(live=live, good=live, hindrance="neither hook.current nor rollback_to says what to go back to")

    async def find(self, goal: Goal, before: Before) -> Deployment | None:
        found = await self._lookup(self._hook.find, self._values_for(goal), "under_way")
        return None if found is None else self._begun(found.id, goal)

    async def start(self, goal: Goal, before: Before) -> Deployment | None:
        ask = self._hook.trigger if goal.target is None else self._hook.rollback
        if ask is None:
            raise Terminal("hook.rollback is not given")
        values = self._values_for(goal)
        headers = {"Idempotency-Key": values["key"]}
        body = {} if ask.json_body is None else {"json": placeholders.fill(ask.json_body, values)}
        answer = await self._call(ask.method, ask, values, headers, body)
        begun = values["key"] if ask.id is None else _at(read_json(answer), ask.id)
        if begun is None:
            raise Terminal(f"{self.title} took the {goal.word}, but its answer has nothing at {ask.id}: correct the id")
        return self._begun(begun, goal)

    async def look(self, deployment: Deployment) -> Deployment:
        status = self._hook.status
        answer = await self._call("GET", status, self._values | {"deployment": deployment.id})
        word = _at(read_json(answer), status.state)
        if word is None:
            raise Refused(f"{self.title}: the status has nothing at {status.state}: correct the state's pointer", 0)
        return deployment.model_copy(update={"state": self._state(word), "status": word, "fraction": 0.5})

    async def stop(self, deployment: Deployment) -> Deployment:
        return await self.look(deployment)

    async def earlier(self, before: Before) -> Deployment | None:
        return _PREVIOUS if before.good is not None and before.good.id == _PREVIOUS.id else None

    async def named(self, deployment_id: str) -> Deployment:
        return Deployment(id=deployment_id, state="replaced", status="unknown")

    def _begun(self, deployment_id: str, goal: Goal) -> Deployment:
        wanted = self._payload.commit or self._payload.image or self._payload.ref
        source = wanted if goal.target is None else goal.target.source
        return Deployment(id=deployment_id, state="under_way", status="begun", source=source, fraction=0.1)

    def _state(self, word: str) -> State:
        meanings: dict[State, list[str]] = {
            "live": self._hook.status.live,
            "failed": self._hook.status.failed,
            "cancelled": self._hook.status.cancelled,
        }
        return next(
            (state for state, words in meanings.items() if word.lower() in map(str.lower, words)),
            "under_way",
        )

    def _values_for(self, goal: Goal) -> dict[str, Any]:
        values = self._values | {"key": self._ctx.effect_key(goal.word)}
        return values if goal.target is None else values | {"target": goal.target.id}

    async def _lookup(self, ask: Lookup | None, values: Mapping[str, Any], state: State) -> Deployment | None:
        if ask is None:
            return None
        try:
            answer = await self._call("GET", ask, values)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        found = _at(read_json(answer), ask.id)
        return None if found is None else Deployment(id=found, state=state, status=state)

    async def _call(
        self,
        method: str,
        ask: Ask,
        values: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        """Raises Terminal before anything is sent when a name has no value, or a secret would go where it may not."""
        try:
            url = placeholders.fill_url(ask.url, values)
            filled = {name: placeholders.fill_text(text, values) for name, text in ask.headers.items()}
        except placeholders.Unfilled as error:
            raise Terminal(f"{self.title}: {error}") from None
        if ask.holds_secrets:
            self._check_host(url)
        extensions = {"hide_path": True} if placeholders.SECRETS in ask.url else {}
        merged = {**(headers or {}), **filled}
        return await self._outside.call(method, url, headers=merged, extensions=extensions, **(options or {}))

    def _check_host(self, text: str) -> None:
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL:
            raise Terminal(f"{self.title}: a URL that holds a secret cannot be used: it is none") from None
        if not {url.host.lower(), f"{url.host.lower()}:{url.port}"} & self._hosts:
            raise Terminal(f"{url.host} is not among the hosts in {HOSTS_VARIABLE}: secrets go nowhere else")


def _at(body: Any, pointer: str) -> str | None:
    """Return what stands at a JSON pointer (RFC 6901) as a text; None when there is nothing, or no plain value."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(body, list) and name.isdigit():
            body = body[int(name)] if int(name) < len(body) else None
        else:
            body = body.get(name) if isinstance(body, dict) else None
    if isinstance(body, bool):
        return "true" if body else "false"
    return str(body) if isinstance(body, str | int) and body != "" else None
