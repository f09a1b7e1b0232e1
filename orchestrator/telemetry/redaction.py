"""What must not leave in a log line or an error report: secrets, endless values, characters that forge lines.

A value is hidden when its key names a secret; inside any text, credentials of a known shape are replaced. This is
the second wall: the first is that nobody logs a secret.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "[redacted]"
MAX_TEXT = 8_192
"""Characters kept of one text."""
_MAX_DEPTH, _MAX_PARTS = 6, 100

_SECRET_KEY = re.compile(
    r"(^|_)(authorization|auth|token|secret|secrets|password|passwd|pwd|api_?key|access_?key|private_?key|encryption_?keys?"
    r"|cookies?|dsn|credentials?|signature|bearer)(_\d+)?$"
)
_WORD_ENDS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])")
_SECRETS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|(?P<user>\b[a-z][a-z0-9+.-]{0,20}://[^\s/@:\"']*:)[^\s/@]+(?=@)"
    r"|(?P<query>[?&](?:access_)?(?:token|key|api_?key|secret|password|sig|signature)=)[^&\s\"'#]+"
    r"|\beyJ[\w-]{8,512}\.[\w-]+\.[\w-]*"
    r"|\b(?:gh[opsur]_|github_pat_|sk-|sk_|sb_secret_|aur_(?:dev|test|prod)_|xox[abprs]-|AKIA)[\w-]{12,}",
    re.IGNORECASE,
)
"""Every repetition before something that may fail is bounded: a hostile text must not take seconds."""
FORGING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, direction marks, zero-width marks and lone surrogates."""


@lru_cache(maxsize=4096)
def names_secret(key: str) -> bool:
    """Whether a field of this name is hidden: `GITHUB_TOKEN`, `api-key`, `accessToken`; not `token_count`."""
    return _SECRET_KEY.search(_WORD_ENDS.sub("_", key).lower()) is not None


def redact(text: str) -> str:
    """Return the text with credentials of a known shape replaced."""
    return _SECRETS.sub(_kept_prefix, text)


def clean(value: Any, depth: int = 0) -> Any:
    """Return a JSON value without secrets, with texts and collections cut; what is not JSON becomes its `str`."""
    if isinstance(value, str):
        return _cut(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)[:64]
    if isinstance(value, bytes):
        return _cut(value[:MAX_TEXT].decode("utf-8", "replace"))
    if depth == _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        named = ((_cut(str(key)), part) for key, part in list(value.items())[:_MAX_PARTS])
        return {key: HIDDEN if names_secret(key) else clean(part, depth + 1) for key, part in named}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(part, depth + 1) for part in list(value)[:_MAX_PARTS]]
    return _cut(str(value))


def escape(text: str) -> str:
    r"""Return the text with every character that could forge or hide a line spelled out as `\uXXXX`."""
    return FORGING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _cut(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} characters more)"
    return redact(text)


def _kept_prefix(match: re.Match[str]) -> str:
    return (match["scheme"] or match["user"] or match["query"] or "") + HIDDEN
