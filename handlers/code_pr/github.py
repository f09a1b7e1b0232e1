"""GitHub's REST API as code_pr asks it: JSON in and out, every refusal an exception that says what to do."""

from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from handlers.code_pr.credentials import HEADERS, Credentials, api_of, forget_token, token_for
from handlers.code_pr.refusals import refuse
from orchestrator.sdk import Context, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)


class GitHub:
    """The API for one repository, `owner/name`, under one attempt's client."""

    def __init__(self, ctx: Context, credentials: Credentials, repository: str) -> None:
        self._ctx = ctx
        self._credentials = credentials
        self._repository = repository
        self._api = api_of(ctx.config)

    async def get(
        self, path: str, doing: str, *, params: "Mapping[str, Any] | None" = None, follow: bool = False
    ) -> Any:
        """Return the JSON at a path. `follow` goes where GitHub says that the thing has moved to.

        Raises Retry or GitHubRefused; httpx2's own errors when GitHub cannot be reached.
        """
        answer = await self._send("GET", path, doing, params=params, follow_redirects=follow)
        return _parsed(answer, doing)

    async def post(self, path: str, doing: str, body: "Mapping[str, Any]") -> Any:
        """Raises as `get` does."""
        return _parsed(await self._send("POST", path, doing, json=body), doing)

    async def download(self, path: str, doing: str, most_bytes: int) -> bytes:
        """Return the file that the answer at a path leads to. Raises as `get` does, and TooLarge.

        The address it leads to is good for a few minutes and holds a token of its own: ours does not go there.
        """
        answer = await self._send("GET", path, doing, follow_redirects=False, expect_redirect=True)
        if answer.next_request is None:
            raise Retry(f"could not {doing}: GitHub leads nowhere")
        request = self._ctx.http.build_request(
            "GET", answer.next_request.url, timeout=_TIMEOUT, extensions={"max_response_bytes": most_bytes}
        )
        file = await self._ctx.http.send(request)
        if not file.is_success:
            raise refuse(file, doing, self._ctx.attempt)
        return file.content

    async def _send(
        self, method: str, path: str, doing: str, *, expect_redirect: bool = False, **options: Any
    ) -> httpx2.Response:
        for renewed in (False, True):
            token = await token_for(self._ctx.http, self._api, self._credentials, self._repository, self._ctx.attempt)
            headers = {**HEADERS, "Authorization": f"Bearer {token}"}
            answer = await self._ctx.http.request(
                method, f"{self._api}/{path}", headers=headers, timeout=_TIMEOUT, **options
            )
            expired = answer.status_code == 401 and forget_token(self._api, self._credentials, self._repository)
            if renewed or not expired:
                break
        if answer.is_success or (expect_redirect and answer.is_redirect):
            return answer
        raise refuse(answer, doing, self._ctx.attempt)


def _parsed(answer: httpx2.Response, doing: str) -> Any:
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        raise Retry(f"could not {doing}: the answer is not JSON; is GITHUB_API_URL right?") from None
