"""What must not leave in a log line, an event, a task's error or an error report: secrets, endless values, characters
that forge lines.

A value is hidden when its key names a secret; inside any text, credentials of a known shape are replaced, and the
secrets that this process was started with. This is the second wall: the first is that nobody tells a secret.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "[redacted]"
MAX_TEXT = 8_192
"""Characters kept of one text."""
_MAX_DEPTH, _MAX_PARTS = 6, 100
_DEEPEST_CONCEALED = 20

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
    r"|\b(?:gh[opsur]_|github_pat_|sk-|sk_|rk_|rnd_|sb_secret_|sbp_|xox[abprs]-|whsec_|AKIA|AIza|aur_[a-z]{1,20}_)"
    r"[\w+/=-]{12,}",
    re.IGNORECASE,
)
"""Every repetition before something that may fail is bounded: a hostile text must not take seconds."""
FORGING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, direction marks, zero-width marks and lone surrogates."""


_SHORTEST_KNOWN = 12
"""Characters of a secret that is looked for: a shorter one is in too many words."""
_known = re.compile(r"(?!)")


def hide(secrets: Iterable[str]) -> None:
    """Have these values hidden from now on, wherever this process tells something; those known before are dropped."""
    global _known
    longest_first = sorted({each for each in secrets if len(each) >= _SHORTEST_KNOWN}, key=len, reverse=True)
    _known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
    redact_again.cache_clear()


@lru_cache(maxsize=4096)
def names_secret(key: str) -> bool:
    """Whether a field of this name is hidden: `GITHUB_TOKEN`, `api-key`, `accessToken`; not `token_count`."""
    return _SECRET_KEY.search(_WORD_ENDS.sub("_", key).lower()) is not None


def redact(text: str) -> str:
    """Return the text with credentials replaced: of a known shape, or known by their value."""
    return _known.sub(HIDDEN, _SECRETS.sub(_kept_prefix, text))


@lru_cache(maxsize=4096)
def redact_again(text: str) -> str:
    """The same for short texts that come again and again."""
    return redact(text)


def conceal(fields: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return the fields as they may be told: what is named as a secret is hidden, texts are searched."""
    return {key: HIDDEN if names_secret(str(key)) else _concealed(value, depth + 1) for key, value in fields.items()}


def _concealed(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact(value)
    if depth > _DEEPEST_CONCEALED:
        return value  # too deep for anybody to read, or inside itself
    if isinstance(value, Mapping):
        return conceal(value, depth)
    if isinstance(value, list | tuple):
        return [_concealed(part, depth + 1) for part in value]
    return value


def tellable(value: Any, depth: int = 0) -> Any:
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
        return {key: HIDDEN if names_secret(key) else tellable(part, depth + 1) for key, part in named}
    if isinstance(value, list | tuple | set | frozenset):
        return [tellable(part, depth + 1) for part in list(value)[:_MAX_PARTS]]
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
