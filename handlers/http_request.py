"""http_request: one HTTP call to an outside service, with its answer as the result.

Network errors, timeouts and the statuses 408, 425, 429 and 5xx are tried again (Retry-After is obeyed); any other
status that was not expected is final. A call that changes something carries an idempotency key that is the same in
every attempt. Query strings, headers and bodies are kept out of logs and errors, except an excerpt of an answer that
was not expected.
"""

import asyncio
import re
from typing import Annotated, Any, Literal, Self

import httpx2
import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.sdk import Context, Terminal, task

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
WORTH_A_RETRY = frozenset({408, 425, 429, *range(500, 600)})
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
KEPT_HEADERS = ("content-type", "etag", "last-modified", "link", "location", "retry-after", "x-request-id")
EXCERPT_CHARACTERS = 500

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_STATUSES = r"^[1-5](xx|[0-9]{2})$"

Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=_STATUSES)]


class HttpRequest(BaseModel):
    """What to send, and what counts as success."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Annotated[str, Field(max_length=8_192)]
    headers: dict[str, str] = {}
    json_body: Annotated[Any, Field(alias="json")] = None
    text: str | None = None
    expected_status: Status | Annotated[list[Status], Field(min_length=1)] = "2xx"
    """A status, `2xx` for a hundred of them, or a list of both."""
    timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    """For the whole call: connecting, redirects, and reading the answer."""
    follow_redirects: Annotated[int, Field(ge=0, le=5)] = 0
    max_response_bytes: Annotated[int, Field(ge=0, le=10_000_000)] = 1_000_000

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _absolute(cls, text: str) -> str:
        try:
            url = httpx2.URL(text)
        except httpx2.InvalidURL as error:
            raise ValueError(f"is not a URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("has to start with http:// or https:// and a host")
        if url.userinfo:
            raise ValueError("must not hold a user or password: send them in the header Authorization")
        return text

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(
                    f"{name[:100]!r} is not a header that can be sent: no line breaks or control characters"
                )
            if name.lower() in OURS:
                raise ValueError(f"{name} is set by the client itself")
        return headers

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.text is not None and "json_body" in self.model_fields_set:
            raise ValueError("send json or text, not both")
        return self

    def expects(self, status: int) -> bool:
        expected = self.expected_status if isinstance(self.expected_status, list) else [self.expected_status]
        return any(str(each) in (str(status), f"{status // 100}xx") for each in expected)


@task("http_request")
async def http_request(payload: HttpRequest, ctx: Context) -> dict[str, Any]:
    """Call a URL and keep its answer."""
    try:
        async with asyncio.timeout(payload.timeout_seconds):
            answer = await _call(payload, ctx)
    except TimeoutError:
        raise httpx2.ReadTimeout(f"no complete answer within {payload.timeout_seconds:g} s") from None
    except httpx2.UnsupportedProtocol as error:
        raise Terminal(f"a redirect leads to what is not http or https: {error}") from None
    await ctx.log(f"{payload.method} {_plain(answer.request.url)}: {answer.status_code}")
    if not payload.expects(answer.status_code):
        raise _refusal(payload, answer)
    return {
        "status": answer.status_code,
        "headers": {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
        "elapsed_ms": round(answer.elapsed.total_seconds() * 1000),
        **_body(answer),
    }


async def _call(payload: HttpRequest, ctx: Context) -> httpx2.Response:
    """Send the request and follow its redirects; every hop passes the client's guard."""
    answer = await ctx.http.send(_request(payload, ctx))
    for _ in range(payload.follow_redirects):
        if answer.next_request is None:
            break
        following = answer.next_request
        if _origin(following.url) != _origin(answer.request.url):
            # What the caller meant for one host (a key, a cookie) is not for another.
            for name in {*map(str.lower, payload.headers), "idempotency-key"} - {"accept", "content-type"}:
                following.headers.pop(name, None)
        answer = await ctx.http.send(following)
    return answer


def _request(payload: HttpRequest, ctx: Context) -> httpx2.Request:
    headers = httpx2.Headers(payload.headers)
    content: bytes | None = None
    if "json_body" in payload.model_fields_set:
        content = orjson.dumps(payload.json_body)
        headers.setdefault("Content-Type", "application/json")
    elif payload.text is not None:
        content = payload.text.encode()
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    if payload.method not in SAFE_METHODS:
        headers.setdefault("Idempotency-Key", ctx.effect_key("request"))
    return ctx.http.build_request(
        payload.method,
        payload.url,
        headers=headers,
        content=content,
        timeout=httpx2.Timeout(payload.timeout_seconds, connect=min(10.0, payload.timeout_seconds)),
        extensions={"max_response_bytes": payload.max_response_bytes},
    )


def _refusal(payload: HttpRequest, answer: httpx2.Response) -> Exception:
    text = f"{payload.method} {_plain(answer.request.url)} answered {answer.status_code} {answer.reason_phrase}".strip()
    if answer.next_request is not None:
        text += f", a redirect to {_plain(answer.next_request.url)}; follow_redirects is {payload.follow_redirects}"
    excerpt = " ".join(_text(answer)[: EXCERPT_CHARACTERS * 2].split())[:EXCERPT_CHARACTERS]
    text += f": {excerpt}" if excerpt else ""
    if answer.status_code in WORTH_A_RETRY:
        return httpx2.HTTPStatusError(text, request=answer.request, response=answer)
    return Terminal(text)


def _body(answer: httpx2.Response) -> dict[str, Any]:
    """Return the answer as JSON where it says it is and a result can hold it, as text otherwise."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (kind == "application/json" or kind.endswith("+json")) and b"\\u0000" not in answer.content:
        try:
            return {"json": orjson.loads(answer.content)}
        except orjson.JSONDecodeError:
            pass
    return {"text": _text(answer)}


def _text(answer: httpx2.Response) -> str:
    """The body in its charset, without what JSON or Postgres cannot hold."""
    try:
        text = answer.content.decode(answer.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):
        text = answer.content.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _plain(url: httpx2.URL) -> str:
    """The URL without what may be secret in it."""
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))
