"""Some company's own deploy service: a token, a trigger, a status, and what is live. A real server on this machine.

It knows idempotency keys, unless it is told not to; then it can be asked for a deployment by its external id.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

TOKEN = "hook_canary_77aZ"
GOOD = ("Building", "Live")


@dataclass
class FakeHook:
    """`begun` are the deployments and rollbacks, as they were asked for."""

    server: HTTPServer
    knows_keys: bool = True
    begun: list[dict[str, Any]] = field(default_factory=list)
    plans: deque[tuple[str, ...]] = field(default_factory=deque)
    answers: deque[tuple[int, Any]] = field(default_factory=deque)
    """What the next triggers are answered, instead."""
    current: int | None = 41

    def __post_init__(self) -> None:
        self._ahead: dict[int, list[str]] = {}
        self._states: dict[int, str] = {}
        self._by_key: dict[str, int] = {}
        self.server.expect_request(re.compile("/hook.*")).respond_with_handler(self._answer)

    @property
    def config(self) -> dict[str, str]:
        hosts = f"deploy.example.com, {self.server.host}:{self.server.port}"
        return {"DEPLOY_HOOK_TOKEN": f"{TOKEN}\n", "DEPLOY_HOOK_HOSTS": hosts}

    def hook(self, **more: Any) -> dict[str, Any]:
        """The part of a payload that says how to deploy here."""
        auth = {"Authorization": "Bearer {secrets.token}"}
        base = self.server.url_for("/hook")
        status = {"url": f"{base}/deploys/{{deployment}}", "headers": auth, "state": "/data/0/state"}
        trigger = {"url": f"{base}/deploys", "headers": auth, "id": "/deployment/id"}
        trigger["json"] = {"sha": "{commit}", "clear": "{clear_cache}", "why": "{service} by {task_id}", "id": "{key}"}
        return {
            "trigger": trigger,
            "status": {**status, "live": ["live"], "failed": ["failed"], "cancelled": ["stopped"]},
            "rollback": {
                "url": f"{base}/rollback",
                "headers": auth,
                "id": "/deployment/id",
                "json": {"to": "{target}"},
            },
            "current": {"url": f"{base}/current", "headers": auth, "id": "/id"},
            "secrets": {"token": "DEPLOY_HOOK_TOKEN"},
            **more,
        }

    def _answer(self, request: Request) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if TOKEN not in (token, request.path.rpartition("/")[2], request.args.get("key")):
            return _json({"detail": f"no access with {token}"}, 401)
        path = request.path.removeprefix("/hook")
        if request.method == "POST":
            return self._begin(request)
        if path == "/current":
            return _json({"id": self.current}) if self.current is not None else _json({"detail": "none"}, 404)
        if path == "/deploys":
            found = self._by_key.get(request.args["external_id"])
            return _json([] if found is None else [{"id": found}])
        number = int(path.rpartition("/")[2])
        ahead = self._ahead.get(number)
        if ahead is None:
            return _json({"detail": "unknown"}, 404)
        if ahead:
            self._states[number] = ahead.pop(0)
        if self._states[number] == "Live":
            self.current = number
        return _json({"data": [{"state": self._states[number]}]})

    def _begin(self, request: Request) -> Response:
        if self.answers:
            status, answer = self.answers.popleft()
            return _json(answer, status)
        body = orjson.loads(request.get_data() or b"null")
        key = request.headers["Idempotency-Key"]
        if key in self._by_key and self.knows_keys:
            return _json({"deployment": {"id": self._by_key[key]}})
        number = 41 + len(self.begun) + 1
        self.begun.append({"path": request.path, "body": body, "key": key})
        self._by_key[key] = number
        self._ahead[number] = list(self.plans.popleft() if self.plans else GOOD)
        self._states[number] = "Queued"
        return _json({"deployment": {"id": number}}, 201)


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")
