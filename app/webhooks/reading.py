"""What the schemes read with: names and ids that can be kept, in headers and bodies that were proved."""

import hashlib
import re
from typing import Any

from app.strict_form import is_form, parse_form
from app.strict_json import parse_json
from app.webhooks.source import Incoming
from orchestrator.domain.errors import InvalidInput, Issue

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,100}")


def required(incoming: Incoming, name: str) -> str:
    """Return a header that has to be there. Raises InvalidInput."""
    value = incoming.header(name).decode("latin-1")
    if not _PRINTABLE.fullmatch(value):
        fix = "is required: 1 to 100 printable ASCII characters"
        raise InvalidInput(f"the header {name} {fix}", [Issue(f"/headers/{name}", fix)])
    return value


def printable(value: Any) -> str | None:
    """Return a value that can be an id or the name of an event as it is, None for any other."""
    return value if isinstance(value, str) and _PRINTABLE.fullmatch(value) else None


def hashed(*parts: bytes) -> str:
    """Return an id made of what a delivery says; parts are told apart by their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def json_object(body: bytes) -> dict[str, Any]:
    """Return the body's JSON object. Raises NotJson, or InvalidInput."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise InvalidInput("the body has to be a JSON object", [Issue("", "send an object")])
    return value


def form_of(incoming: Incoming) -> dict[str, str] | None:
    """Return the fields of a body that says it is a form, None of any other. Raises NotJson, or InvalidInput."""
    return parse_form(incoming.body) if is_form(incoming.header("content-type")) else None
