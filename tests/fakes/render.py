"""Render's REST API as its published description says, for what deploying uses: a real server on this machine.

A deploy goes one status further each time it is looked at, along the plan that the test gave. As at Render, a newer
deploy cancels one that is under way, or waits for it; what goes live deactivates what was.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

KEY = "rnd_canary_5fQ2x9"
SERVICE = "srv-web1"
UNDER_WAY = ("queued", "created", "build_in_progress", "pre_deploy_in_progress", "update_in_progress")
GOOD = ("build_in_progress", "update_in_progress", "live")
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Fault:
    """Answers instead of the API; with `done` the API has done what it was asked for."""

    method: str
    path: str
    status: int
    body: Any
    headers: dict[str, str]
    times: int
    done: bool
    after: int


@dataclass
class FakeRender:
    """One service. `asked` are the calls that change something, in their order."""

    server: HTTPServer
    policy: Literal["override", "wait"] = "override"
    keeps_running: bool = True
    """Whether what is live stays so until a newer deploy is; false with a disk."""
    deploys: list[dict[str, Any]] = field(default_factory=list)
    plans: deque[tuple[str, ...]] = field(default_factory=deque)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    pages: int = 0

    def __post_init__(self) -> None:
        self._ahead: dict[str, list[str]] = {}
        self._hidden: list[dict[str, Any]] = []
        self.server.expect_request(re.compile("/v1/.*")).respond_with_handler(self._answer)

    @property
    def config(self) -> dict[str, str]:
        return {"RENDER_API_KEY": KEY, "RENDER_API_URL": self.server.url_for("/v1")}

    @property
    def statuses(self) -> dict[str, str]:
        return {deploy["id"]: deploy["status"] for deploy in self.deploys}

    def add(self, commit: str | None, status: str = "live", trigger: str = "new_commit", **more: Any) -> str:
        """Record a deploy, as if it had been made now; a live one deactivates the one before."""
        deploy = self._make(commit, trigger, **more)
        self.deploys.append(deploy)
        self._set(deploy, status)
        return str(deploy["id"])

    def fail(
        self,
        method: str,
        path: str,
        status: int,
        body: Any = None,
        *,
        times: int = 1,
        done: bool = False,
        after: int = 0,
        **headers: str,
    ) -> None:
        """Answer the next calls to this end of a path with an error, or those after some good ones."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"id": "err-1", "message": f"as asked: {status}"} if body is None else body
        self.faults.append(Fault(method, path, status, body, spelled, times, done, after))

    def _answer(self, request: Request) -> Response:
        path = request.path.removeprefix("/v1")
        self.calls.append(f"{request.method} {path}")
        fault = next((each for each in self.faults if self._hits(each, request.method, path)), None)
        if fault is not None:
            fault.times -= 1
            if fault.done:
                self._route(request, path)
            return _json(fault.body, fault.status, **fault.headers)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            sent = request.headers.get("Authorization", "")
            return _json({"id": "err-1", "message": f"unauthorized: {sent}"}, 401)
        return self._route(request, path)

    @staticmethod
    def _hits(fault: Fault, method: str, path: str) -> bool:
        if fault.method != method or not path.endswith(fault.path):
            return False
        fault.after -= 1
        return fault.after < 0 and fault.times > 0

    def _route(self, request: Request, path: str) -> Response:
        service, _, rest = path.removeprefix("/services/").partition("/")
        if service != SERVICE:
            return _json({"id": "err-1", "message": f"not found: service {service}"}, 404)
        name, _, rest = rest.partition("/")
        match request.method, name, rest:
            case "GET", "deploys", "":
                return self._list(request)
            case "POST", "deploys", "":
                return self._create(orjson.loads(request.get_data()))
            case "POST", "rollback", "":
                return self._roll_back(orjson.loads(request.get_data()))
        deploy = next((each for each in self.deploys if each["id"] == rest.partition("/")[0]), None)
        if deploy is None:
            return _json({"id": "err-1", "message": "not found: deploy"}, 404)
        if request.method == "POST" and rest.endswith("/cancel"):
            return self._cancel(deploy)
        ahead = self._ahead.get(deploy["id"], [])
        if ahead:
            self._set(deploy, ahead.pop(0))
        return _json(deploy)

    def _list(self, request: Request) -> Response:
        arrived, self._hidden = self._hidden, []
        wanted = request.args.getlist("status")
        chosen = [each for each in reversed(self.deploys) if not wanted or each["status"] in wanted]
        after = request.args.get("cursor")
        if after is not None:
            self.pages += 1
            chosen = chosen[1 + [f"c-{each['id']}" for each in chosen].index(after) :]
        limit = int(request.args.get("limit", "20"))
        if not 1 <= limit <= 100:
            return _json({"id": "err-1", "message": "invalid limit"}, 400)
        for deploy in arrived:  # they waited; the next list has them
            self.deploys.append(deploy)
        return _json([{"deploy": each, "cursor": f"c-{each['id']}"} for each in chosen[:limit]])

    def _create(self, wish: dict[str, Any]) -> Response:
        self.asked.append(("deploy", wish))
        if not set(wish) <= {"clearCache", "commitId", "imageUrl", "deployMode"}:
            return _json({"id": "err-1", "message": "unknown field"}, 400)
        commit = wish.get("commitId") or (None if "imageUrl" in wish else "head" * 10)
        image = {"ref": wish["imageUrl"], "sha": f"sha256:{wish['imageUrl']}"} if "imageUrl" in wish else None
        deploy = self._make(commit, "api", **({"image": image} if image else {}))
        self._ahead[deploy["id"]] = list(self.plans.popleft() if self.plans else GOOD)
        if any(each["status"] in UNDER_WAY for each in self.deploys):
            if self.policy == "wait":
                self._hidden.append({**deploy, "status": "queued"})
                return Response(status=202)
            for each in self.deploys:
                if each["status"] in UNDER_WAY:
                    self._set(each, "canceled")
        self.deploys.append(deploy)
        return _json(deploy, 201)

    def _roll_back(self, wish: dict[str, Any]) -> Response:
        self.asked.append(("rollback", wish))
        target = next((each for each in self.deploys if each["id"] == wish.get("deployId")), None)
        if target is None:
            return _json({"id": "err-1", "message": "not found: deploy"}, 404)
        if target["status"] != "deactivated":
            return _json({"id": "err-1", "message": "cannot roll back to this deploy"}, 400)
        kept = {name: target[name] for name in ("image",) if name in target}
        deploy = self._make((target.get("commit") or {}).get("id"), "rollback", **kept)
        self._ahead[deploy["id"]] = list(self.plans.popleft() if self.plans else ("update_in_progress", "live"))
        self.deploys.append(deploy)
        return _json(deploy, 201)

    def _cancel(self, deploy: dict[str, Any]) -> Response:
        self.asked.append(("cancel", {"deployId": deploy["id"]}))
        if deploy["status"] not in UNDER_WAY:
            return _json({"id": "err-1", "message": "the deploy is not under way"}, 400)
        self._ahead[deploy["id"]] = []
        self._set(deploy, "canceled")
        return _json(deploy)

    def _make(self, commit: str | None, trigger: str, **more: Any) -> dict[str, Any]:
        number = len(self.deploys) + len(self._hidden) + 1
        at = (START + timedelta(minutes=number)).isoformat().replace("+00:00", f".{number}Z")
        made = {"commit": {"id": commit, "message": "m", "createdAt": at}} if commit else {}
        return {"id": f"dep-{number}", "status": "created", "trigger": trigger, "createdAt": at, **made, **more}

    def _set(self, deploy: dict[str, Any], status: str) -> None:
        if status == "live" or (status.startswith("update_") and not self.keeps_running):
            for each in self.deploys:
                if each["status"] == "live" and each is not deploy:
                    each["status"] = "deactivated"
        deploy["status"] = status


def _json(body: Any, status: int = 200, **headers: str) -> Response:
    limits = {"Ratelimit-Limit": "400", "Ratelimit-Remaining": "399"}
    return Response(orjson.dumps(body), status, {**limits, **headers}, content_type="application/json; charset=utf-8")
