"""/docs and /openapi.json: what describes the API to people and to programs. Open to all where they are served.

The page is ours and holds all it needs: nothing comes from another host, and its policy lets no other script run.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from app.render import answer

router = APIRouter(include_in_schema=False)

_PAGE = files("app").joinpath("pages/docs.html").read_bytes()


def _hashes(element: bytes) -> str:
    """Return the sources of a policy that allow what stands in these elements of the page, and nothing else."""
    inside = re.findall(b"<%b>(.*?)</%b>" % (element, element), _PAGE, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in inside)


POLICY = (
    f"default-src 'none'; script-src {_hashes(b'script')}; style-src {_hashes(b'style')}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/openapi.json", operation_id="pages_openapi")
async def openapi(request: Request) -> Response:
    """Answer the OpenAPI document, as it was made of the routes."""
    return answer(request.app.openapi())


@router.get("/docs", operation_id="pages_docs")
async def docs() -> Response:
    """Answer the page that reads the document to people."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})
