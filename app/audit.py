"""The layer that writes the audit: every request that may change something passes it, whichever route it is for.

What a known caller did with POST, PUT, PATCH or DELETE is kept as one line before the answer leaves; when the line
cannot be kept, the answer is 503. Refusals for a lack of rights and failures of ours are noted too, one line a
minute for each caller, operation and status; the other refusals changed nothing and leave no line. Nor does who is
not known: anybody could fill the audit.
"""

from hashlib import sha256
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.address import address_of
from app.edge import trace_id_of
from app.problems import problem_of
from orchestrator.domain.audit import Act, storable
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.principal import Principal

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SHARING = frozenset({"tasks_create"})
"""Where a line for each request would cost a third of their rate: what a caller asks at the same moment shares one."""
_SELDOM_SECONDS = 60.0
_MOST_CALLERS = 1000


def note_caller(request: Request, principal: Principal) -> None:
    """Say who is asking, once that was proven."""
    request.scope["state"]["principal"] = principal


def note_act(request: Request, *targets: str, **details: str | int) -> None:
    """Say what is acted on, where the path does not; and what a reader of the audit wants to know besides.

    Nothing of a payload, and no secret, belongs there.
    """
    request.scope["state"]["act"] = (targets, details)


class Audit:
    """Middleware, inside the edge; expects `app.state.desk` once the application has started."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seldom = _Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send, self._seldom)
        try:
            await self._app(scope, answer.receive, answer.send)
        except ClientDisconnect:
            raise  # its body had not come: nothing was done
        except Exception:
            answer.failed()
            raise


class _Seldom:
    """Lets one of its kind through a minute."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}

    def admit(self, kind: tuple[str, ...], now: float) -> int | None:
        """Return how many of this kind were left out since the last that was let through; None for one more."""
        until, left_out = self._seen.get(kind, (now, 0))
        if now < until:
            self._seen[kind] = (until, left_out + 1)
            return None
        if len(self._seen) >= _MOST_CALLERS:
            self._seen.clear()
        self._seen[kind] = (now + _SELDOM_SECONDS, 0)
        return left_out


class _Answer:
    """One request on its way in, and its answer on the way out; paid for by every task that is submitted."""

    __slots__ = ("_asked_at", "_begun", "_body", "_body_bytes", "_receive", "_scope", "_seldom", "_send", "_withheld")

    def __init__(self, scope: Scope, receive: Receive, send: Send, seldom: _Seldom) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._seldom = seldom
        self._body = sha256()
        self._body_bytes = 0
        self._begun = self._withheld = False
        self._asked_at = self._now()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._asked_at = self._now()
        if chunk := message.get("body"):
            self._body.update(chunk)
            self._body_bytes += len(chunk)
        return message

    async def send(self, message: Message) -> None:
        if self._withheld:
            return
        if not self._begun:
            self._begun = True
            status = message["status"]
            try:
                if status < 300:
                    if (act := self._act(status)) is not None:
                        await self._desk.auditor.keep(act, self._asked_at)
                elif status == HTTPStatus.FORBIDDEN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._note(status)
            except Unavailable as away:
                self._withheld = True
                await problem_of(away).response(trace_id_of(self._scope))(self._scope, self._receive, self._send)
                return
        await self._send(message)

    def failed(self) -> None:
        """Note what nobody foresaw: it may have changed something."""
        if not self._begun:
            self._note(HTTPStatus.INTERNAL_SERVER_ERROR)

    @property
    def _desk(self) -> Any:
        return self._scope["app"].state.desk

    def _now(self) -> float:
        return float(self._desk.runtime.clock.monotonic())

    def _note(self, status: int) -> None:
        if (act := self._act(status)) is None:
            return
        kind = (act.tenant, act.actor_kind, act.actor_id, act.action, str(status))
        left_out = self._seldom.admit(kind, self._now())
        if left_out is not None:
            if left_out:
                act.details = {**act.details, "left_out": left_out}
            self._desk.auditor.note(act)

    def _act(self, status: int) -> Act | None:
        """None when nobody is known to have asked, or nothing of ours was asked."""
        state, route = self._scope["state"], self._scope.get("route")
        principal: Principal | None = state.get("principal")
        if principal is None or route is None:
            return None
        targets, told = state.get("act") or (map(storable, self._scope["path_params"].values()), {})
        details = {name: storable(value) if type(value) is str else value for name, value in told.items()}
        if self._body_bytes:
            details["body_sha256"] = self._body.hexdigest()
        action = route.operation_id
        return Act(
            principal.tenant,
            principal.kind,
            storable(principal.id),
            action,
            status,
            address_of(self._scope),
            trace_id_of(self._scope),
            list(targets),
            details,
            shared=action in _SHARING,
        )
