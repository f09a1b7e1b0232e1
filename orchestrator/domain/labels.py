"""What handlers say of their files, checked: a name is a label for people, a content type goes into a header.

Neither has a meaning for any path: keys are made of ids.
"""

import mimetypes
import re
import unicodedata
from typing import NoReturn
from urllib.parse import quote

from orchestrator.domain.artifact import BUCKETS
from orchestrator.domain.errors import InvalidInput, Issue

LONGEST_NAME = 255
_UNKNOWN = "application/octet-stream"
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,100}"  # noqa: S105 - a token of RFC 9110
_CONTENT_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:; ?{_TOKEN}=(?:{_TOKEN}|"[A-Za-z0-9 !#$&^_.+:/=-]{{0,100}}"))*')
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, direction marks and what else nobody sees; lone surrogates, which are no text."""
_JOINERS = "\u200c\u200d"
"""Not seen either, and part of how Persian and emoji are written."""
_TYPES = mimetypes.MimeTypes()  # Python's own table: the machine's would answer differently on each
for _ending, _type in {".md": "text/markdown", ".yaml": "application/yaml", ".jsonl": "application/jsonl"}.items():
    _TYPES.add_type(_type, _ending)


def check_name(name: str) -> None:
    """Raises InvalidInput with a sentence for a name that is no label."""
    if not name.strip() or len(name) > LONGEST_NAME:
        _refuse("name", f"give it a name of 1 to {LONGEST_NAME} characters")
    if name in (".", "..") or "/" in name or "\\" in name:
        _refuse("name", f"a name is a label, not a path: leave the slashes out of {name!r}")
    if any(unicodedata.category(character) in _HIDDEN for character in name if character not in _JOINERS):
        _refuse("name", "leave out control characters, direction marks and whatever else cannot be seen")


def check_bucket(bucket: str) -> None:
    """Raises InvalidInput for one that does not exist."""
    if bucket not in BUCKETS:
        _refuse("bucket", f"use one of: {', '.join(BUCKETS)}")


def content_type_of(name: str, given: str | None, *, text: bool = False) -> str:
    """Return the given content type, checked, or the one that the name's ending stands for. Raises InvalidInput."""
    if given is not None:
        if len(given) > LONGEST_NAME or not _CONTENT_TYPE.fullmatch(given):
            _refuse("content_type", 'give a media type, such as "text/plain; charset=utf-8"')
        return given
    guessed = _TYPES.guess_type(f"_{name}")[0] or ("text/plain" if text else _UNKNOWN)
    return f"{guessed}; charset=utf-8" if text and guessed.startswith("text/") else guessed


def disposition(name: str) -> str:
    """Return the header that makes a browser save the file under its name, and never show it."""
    plain = re.sub(r'[^ -~]|["\\%;]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _refuse(field: str, fix: str) -> NoReturn:
    raise InvalidInput(f"the artifact's {field} cannot be used: {fix}", [Issue(f"/{field}", fix)])
