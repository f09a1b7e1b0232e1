"""The command line's way to the API: one connection, and refusals that say what to do.

Nothing is retried here: a write whose answer was lost may have happened, and the person decides. `submit --key`
makes a repeat safe.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import quote

import httpx2
import orjson

from app.cli.screen import complain, plain
from orchestrator.settings import ClientSettings

HEARTBEAT_SECONDS = 15.0
"""How often the API speaks on a stream that has nothing to say."""
_TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
_STREAM_TIMEOUT = httpx2.Timeout(30.0, connect=5.0, read=3 * HEARTBEAT_SECONDS)


class Api:
    """A running system, as the settings name it. Every refusal ends the command with exit code 1 and the fix."""

    def __init__(self, settings: ClientSettings, tenant: str | None = None) -> None:
        """`tenant`: whom the admin token acts for; others act for their own whatever it says."""
        self._settings = settings
        token = settings.read_token()
        self._has_token = token is not None
        if token and not token.isascii():
            complain(f"the token from {self._token_source} is not a token", "copy it again, whole and unchanged")
        try:
            url = httpx2.URL(settings.url.rstrip("/"))
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            complain(
                f"{settings.url!r} is not the URL of an API", "set AUREA_URL to something like http://127.0.0.1:8000"
            )
        self._http = httpx2.Client(
            base_url=url,
            headers={
                **({"Authorization": f"Bearer {token}"} if token else {}),
                **({"Aurea-Tenant": tenant} if tenant else {}),
            },
            timeout=_TIMEOUT,
            limits=httpx2.Limits(max_keepalive_connections=0),  # a command ends without having to close anything
            trust_env=not _is_loopback(url.host),  # a proxy cannot reach this machine's own ports
        )

    @property
    def url(self) -> str:
        return self._settings.url

    @property
    def _token_source(self) -> str:
        return "AUREA_TOKEN" if self._settings.token else str(self._settings.token_file)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the answer's JSON; parameters that are None are left out."""
        sent = {name: value for name, value in (params or {}).items() if value is not None}
        return self._json(self._send("GET", path, params=sent))

    def post(self, path: str, body: Any = None) -> tuple[Any, httpx2.Headers]:
        """Send a body that orjson can write; return the answer's JSON and its headers."""
        sent = {"content": orjson.dumps(body), "headers": {"Content-Type": "application/json"}} if body else {}
        response = self._send("POST", path, **sent)
        return self._json(response), response.headers

    def put(self, path: str, body: Any) -> Any:
        """Send a body that orjson can write; return the answer's JSON."""
        sent = {"content": orjson.dumps(body), "headers": {"Content-Type": "application/json"}}
        return self._json(self._send("PUT", path, **sent))

    def delete(self, path: str) -> Any:
        """Return the answer's JSON; None for an answer without a body."""
        response = self._send("DELETE", path)
        return self._json(response) if response.content else None

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file: from here, or from the store that the API leads to, which gets no token."""
        try:
            with self._http.stream("GET", path) as response:
                if response.is_success:
                    yield from response.iter_bytes()
                    return
                if not response.has_redirect_location:
                    self.refuse(response)
                link = httpx2.URL(response.headers["Location"])
        except httpx2.TransportError as error:
            self.unreachable(error)
        try:
            with httpx2.stream("GET", link, timeout=_TIMEOUT, trust_env=not _is_loopback(link.host)) as stored:
                if stored.is_success:
                    yield from stored.iter_bytes()
                    return
                what = f"answered {stored.status_code}"
        except httpx2.TransportError as error:
            what = f"cannot be reached: {error or type(error).__name__}"
        complain(f"the store at {link.host} {what}", "AUREA_ARTIFACTS_LINKS=false lets the API hand files out itself")

    def events(self, task_id: str, after: str) -> AbstractContextManager[httpx2.EventSource]:
        """Open the live stream behind an event id. Raises httpx2.TransportError when it breaks."""
        headers = {"Last-Event-ID": after} if after else {}
        return self._http.sse(at("stream", task_id), headers=headers, timeout=_STREAM_TIMEOUT)

    def refuse(self, response: httpx2.Response) -> NoReturn:
        """End the command with what the API said."""
        problem = _problem(response)
        if response.status_code == 401:
            self._refuse_token(problem)
        if problem is None:
            complain(
                f"{self.url} answered {response.status_code} and no reason",
                "check that AUREA_URL is the address of an AUREA API",
            )
        detail = plain(problem.get("detail") or problem.get("title") or str(response.status_code))
        issues = [(plain(issue["pointer"]), plain(issue["detail"])) for issue in problem.get("errors") or ()]
        lines = [
            f"{where}: {what}" for where, what in issues if not (where.removeprefix("/") in detail and what in detail)
        ]
        if wait := response.headers.get("Retry-After"):
            lines.append(f"try again in {plain(wait)} s")
        if response.is_server_error and problem.get("trace_id"):
            lines.append(f"trace_id {plain(problem['trace_id'])}")
        complain(detail, *lines)

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            self.unreachable(error)
        if not response.is_success:
            self.refuse(response)
        return response

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            complain(f"{self.url} did not answer as an AUREA API", "check AUREA_URL")

    def unreachable(self, error: httpx2.TransportError) -> NoReturn:
        """End the command because nothing answered."""
        complain(
            f"{self.url} cannot be reached: {error or type(error).__name__}",
            "start it with `aurea up`, or set AUREA_URL to where it runs",
        )

    def _refuse_token(self, problem: dict[str, Any] | None) -> NoReturn:
        if not self._has_token:
            complain(
                f"{self.url} wants a token, and there is none in AUREA_TOKEN or in {self._settings.token_file}",
                "set AUREA_TOKEN, or run this where `aurea up` wrote its token (AUREA_HOME)",
            )
        reason = f": {plain(problem['detail'])}" if problem and problem.get("detail") else ""
        complain(
            f"{self.url} refused the token from {self._token_source}{reason}",
            "set AUREA_TOKEN to one that this system gave out",
        )


def at(*steps: str) -> str:
    """Return the path made of these steps, whatever characters are in them."""
    return "".join(f"/{quote(step, safe='')}" for step in steps)


def open_api(tenant: str | None = None) -> Api:
    """The API that the environment names."""
    settings = ClientSettings()
    return Api(settings, tenant or settings.tenant)


def _problem(response: httpx2.Response) -> dict[str, Any] | None:
    response.read()
    try:
        problem = response.json()
    except ValueError:
        return None
    return problem if isinstance(problem, dict) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
