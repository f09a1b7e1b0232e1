"""Taking a request's body off the wire: bounded in size and in time while it streams.

Content-Length is a claim, so the bytes themselves are counted; a body that trickles in is given up.
"""

import asyncio
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import request_response

from app.strict_json import parse_json
from orchestrator.domain.errors import TooLarge

PATIENCE_SECONDS = 60.0
_MOST_DIGITS = 19
"""Of a length that can be true; Python refuses to read a number of thousands."""


class BodyRoute(APIRoute):
    """A route whose endpoint takes the request and reads the body itself.

    It stands in the OpenAPI document like any other and skips FastAPI's own reading and checking of parameters,
    which costs more than all of ours.
    """

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the whole body. Raises TooLarge as soon as it passes the limit, HTTPException for one we cannot read."""
    headers = dict(request.scope["headers"])
    codings = (headers.get(b"content-encoding", b"identity"), headers.get(b"transfer-encoding", b"chunked"))
    if tuple(each.strip().lower() for each in codings) != (b"identity", b"chunked"):
        raise HTTPException(415, "send the body without Content-Encoding: compressed bodies are not accepted")
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and (len(declared) > _MOST_DIGITS or int(declared) > limit_bytes):
        raise TooLarge("the body", limit_bytes)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await _gather(request, limit_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {PATIENCE_SECONDS:.0f} seconds"
        raise HTTPException(408, detail, {"Connection": "close"}) from None


async def read_json(request: Request, limit_bytes: int) -> Any:
    """Return the body's JSON value. Raises what `read_body` and `parse_json` raise."""
    return parse_json(await read_body(request, limit_bytes))


async def _gather(request: Request, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge("the body", limit_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
