"""Workflows written as text: JSON, or the part of YAML that means JSON.

Plain YAML values are read as YAML 1.2 does, so `on`, `yes`, `1:30` and dates are texts, and every key is one. What is
not JSON is refused (tags, merge keys, infinity), and so are a key given twice and a value that grows: an alias counts
as often as it is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orchestrator.domain.workflow.fields import below

MAX_BYTES = 64_000
MAX_DEPTH = 32
MAX_VALUES = 10_000

_PLAIN = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | dict.fromkeys(("true", "True", "TRUE"), True)
_PLAIN |= dict.fromkeys(("false", "False", "FALSE"), False)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 18
_STANDARD = "tag:yaml.org,2002:"


class BadText(ValueError):
    """A text that is no workflow; it says what is wrong, and in which line."""


@dataclass(frozen=True, slots=True)
class Written:
    """A JSON value, and where in the text its parts stand."""

    value: Any
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line, from 1, of each JSON pointer; empty for JSON."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Takes every plain value for a text; `_scalar` reads it."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}


def read_text(text: str) -> Written:
    """Raises BadText."""
    if len(text.encode()) > MAX_BYTES:
        raise BadText(f"is longer than {MAX_BYTES} bytes")
    if text.lstrip()[:1] == "{":
        try:
            return Written(checked(orjson.loads(text)))
        except orjson.JSONDecodeError:
            pass  # it may be YAML that begins with a brace
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BadText(f"{line}is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise BadText(f"is not YAML: {str(error).partition(chr(10))[0]}") from None
    reading = _Reading()
    value = reading.value_of(node, "", 0) if node is not None else None
    return Written(value, reading.lines)


def checked(value: Any) -> Any:
    """Return a JSON value that is neither too large nor too deep, and that can be stored. Raises BadText."""
    count, left = 0, [(value, 0)]
    while left:
        part, depth = left.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise BadText(f"has more than {MAX_VALUES} values, or more than {MAX_DEPTH} inside one another")
        if isinstance(part, dict):
            left.extend((inner, depth + 1) for inner in (*part, *part.values()))
        elif isinstance(part, list):
            left.extend((inner, depth + 1) for inner in part)
        elif isinstance(part, str) and "\0" in part:
            raise BadText("holds a NUL character, which no store keeps")
    return value


def _check_events(text: str) -> None:
    """Refuse what is too deep before anything recurses into it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise BadText(f"line {line}: has more than {MAX_DEPTH} values inside one another")


class _Reading:
    """One walk through the nodes of a document."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._count = 0

    def value_of(self, node: Node, pointer: str, depth: int) -> Any:
        self.lines.setdefault(pointer, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise _bad(node, f"has more than {MAX_VALUES} values, aliases counted, or more than {MAX_DEPTH} inside")
        if not node.tag.startswith(_STANDARD) or node.tag.removeprefix(_STANDARD) not in ("str", "seq", "map"):
            raise _bad(node, f"the tag {node.tag.replace(_STANDARD, '!!')[:40]} is not taken")
        if isinstance(node, MappingNode):
            return self._object(node, pointer, depth)
        if isinstance(node, SequenceNode):
            return [self.value_of(part, below(pointer, place), depth + 1) for place, part in enumerate(node.value)]
        return _scalar(node) if isinstance(node, ScalarNode) else None

    def _object(self, node: MappingNode, pointer: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise _bad(key_node, "a key has to be a text")
            key = _text(key_node)
            if key in found:
                raise _bad(key_node, f"the key {key[:40]!r} is given twice")
            if key == "<<":
                raise _bad(key_node, "the merge key << is not taken: write the fields out")
            self.lines[below(pointer, key)] = key_node.start_mark.line + 1
            found[key] = self.value_of(value_node, below(pointer, key), depth + 1)
        return found


def _scalar(node: ScalarNode) -> Any:
    text = _text(node)
    if node.style:  # quoted, or a block
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _DIGITS:
            raise _bad(node, "a number this large is no JSON: quote it")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if abs(number) == float("inf"):
            raise _bad(node, "a number this large is no JSON: quote it")
        return number
    if _NO_NUMBER.fullmatch(text):
        raise _bad(node, f"{text} is no JSON: quote it")
    return text


def _text(node: ScalarNode) -> str:
    text: str = node.value
    if "\0" in text:
        raise _bad(node, "holds a NUL character, which no store keeps")
    return text


def _bad(node: Node, reason: str) -> BadText:
    return BadText(f"line {node.start_mark.line + 1}: {reason}")
