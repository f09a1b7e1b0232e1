"""Webhook sources as they are declared: `[[sources]]` in the file of routing rules, and the four that need no line.

What is declared is checked one by one: a broken declaration keeps none of the others out. The file names variables,
never secrets; `orchestrator.settings` reads those.
"""

import re
import tomllib
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.domain.errors import Issue

BUILT_IN: Mapping[str, str] = {
    "github": "GITHUB_WEBHOOK_SECRET",
    "clickup": "CLICKUP_WEBHOOK_SECRET",
    "make": "MAKE_WEBHOOK_SECRET",
    "slack": "SLACK_SIGNING_SECRET",
}
"""Sources that are there without a declaration, for the tenant `default`, and the variables of their secrets."""
MOST_BYTES = 25 * 2**20
_SHORTEST_OF_MANY = 8
_SHORTEST_SECRET = 16
"""Whoever saw one delivery can try guesses at it for as long as he likes."""
_SEPARATOR = re.compile(r"[\s,]+")
_FIELDS = re.compile(r"\{(\w*)\}")
_KEY_PREFIX = re.compile(r"(?:(whsec|whpk|whsk)_)?(.*)", re.DOTALL)
_KEY_BYTES = {"whsec": range(16, 129), "whpk": range(32, 33), "whsk": range(64, 65)}

Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Hmac(BaseModel):
    """How a sender signs that follows no known scheme."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    header: HeaderName
    """Holds the signature."""
    prefix: Annotated[str, Field(pattern=r"^[!-~]{0,32}$")] = ""
    encoding: Literal["hex", "base64"] = "hex"
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    timestamp_header: HeaderName | None = None
    """Holds Unix seconds."""
    id_header: HeaderName | None = None
    """Holds the delivery's id; without one the id is a hash of what was signed."""
    signed: Annotated[str, Field(max_length=200)] = ""
    """What is signed, with {body}, {timestamp} and {id}. By itself the body, behind the timestamp if there is one."""
    event_header: HeaderName | None = None
    event_field: Annotated[str, Field(min_length=1, max_length=100)] = "event"
    """The field of the body that names the event, where no header does."""
    body: Literal["json", "form", "text"] = "json"

    @property
    def template(self) -> str:
        return self.signed or ("{timestamp}.{body}" if self.timestamp_header else "{body}")

    @model_validator(mode="after")
    def _signed_holds_what_counts(self) -> Self:
        fields = _FIELDS.findall(self.template)
        if fields.count("body") != 1 or not set(fields) <= {"body", "timestamp", "id"}:
            raise ValueError("signed needs {body} once, and beside it may hold {timestamp} and {id}")
        if ("timestamp" in fields) != (self.timestamp_header is not None):
            raise ValueError(
                "timestamp_header and {timestamp} in signed need each other: an unsigned time proves nothing"
            )
        if "id" in fields and self.id_header is None:
            raise ValueError("{id} in signed needs id_header")
        return self


class Declaration(BaseModel):
    """One of `[[sources]]`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """The last part of its path: /webhooks/{name}."""
    scheme: Literal["github", "clickup", "make", "slack", "standard", "stripe", "hmac"]
    secret_variable: Variable
    """The NAME of the environment variable that holds its secret, or several."""
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "default"
    max_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES)] | None = None
    tolerance_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """How far the sender's clock may be from ours, either way."""
    hmac: Hmac | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.name in BUILT_IN:
            raise ValueError(f"{self.name} is there without a declaration: choose another name")
        if (self.hmac is not None) != (self.scheme == "hmac"):
            raise ValueError('the table hmac goes with scheme = "hmac", and with no other')
        return self


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file declares."""

    sources: tuple[Declaration, ...] = ()
    issues: tuple[Issue, ...] = ()
    """What is wrong; the pointer says where in the file."""
    variables: frozenset[str] = frozenset()
    """That hold secrets, those of broken declarations included."""


def read_sources(file: Path | None) -> Declared:
    """Return what a file of routing rules declares; without one nothing is declared."""
    if file is None:
        return Declared()
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8")).get("sources", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Declared(issues=(Issue("", f"{file} cannot be read: {error}"),))
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        return Declared(issues=(Issue("/sources", "has to be written as [[sources]]"),))
    good: dict[str, Declaration] = {}
    issues: list[Issue] = []
    for place, each in enumerate(written):
        try:
            source = Declaration.model_validate(each)
        except ValidationError as error:
            issues += _issues(place, error)
            continue
        if source.name in good:
            issues.append(Issue(f"/sources/{place}/name", f"{source.name} is declared twice: a path has one source"))
        good.setdefault(source.name, source)
    variables = {str(each["secret_variable"]) for each in written if "secret_variable" in each}
    return Declared(tuple(good.values()), tuple(issues), frozenset(variables))


def _issues(place: int, error: ValidationError) -> Iterator[Issue]:
    for part in error.errors(include_url=False, include_context=False, include_input=False):
        where = "".join(f"/{step}" for step in ("sources", place, *part["loc"]))
        yield Issue(where, str(part["msg"]).removeprefix("Value error, "))


def split_secrets(text: str) -> tuple[str, ...]:
    """Return the secrets of a variable: one, or several between commas or white space while they are changed.

    A text with a part shorter than 8 characters is one secret: a pass phrase would fall into words that can be guessed.
    """
    parts = tuple(part for part in _SEPARATOR.split(text) if part)
    return parts if all(len(part) >= _SHORTEST_OF_MANY for part in parts) else (text.strip(),)


def open_key(secret: str) -> tuple[str, bytes] | None:
    """Return the kind (whsec, whpk or whsk) and the bytes of a Standard Webhooks key; None for what is none."""
    matched = _KEY_PREFIX.fullmatch(secret)
    kind, text = (matched[1] or "whsec", matched[2]) if matched else ("whsec", "")
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (NotBase64, ValueError):
        return None
    return (kind, key) if len(key) in _KEY_BYTES[kind] else None


def fault_of(scheme: str, secret: str) -> str | None:
    """Say what is wrong with the secret of a source that is set, without repeating it."""
    parts = split_secrets(secret)
    if scheme == "standard" and not all(open_key(each) for each in parts):
        return "holds no key of Standard Webhooks: whsec_ or whpk_, then base64"
    if min(map(len, parts)) < _SHORTEST_SECRET:
        return f"is easily guessed: use {_SHORTEST_SECRET} random characters or more, here and at the sender"
    return None
