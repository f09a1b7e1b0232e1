"""Templates in Jinja2's sandbox: JSON values in, a JSON value out.

A text that is one expression alone, `{{ body.number }}`, keeps the value's type; any other renders to a text. The
result depends on the values and nothing else (no clock, no chance), so rendering again gives the same. What is missing
is an error, never an empty text. A dotted name is a key first: `body.items` is the key `items`.

Values come from strangers, so nothing here grows faster than they do: no loops, and no repetition of texts.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import orjson
from jinja2 import StrictUndefined, TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARACTERS = 10_000
MAX_OUTPUT_BYTES = 1_000_000

Variables = Mapping[str, Any]

_FILTERS_WITHOUT = {"random", "center", "format", "indent", "batch", "slice", "wordwrap", "pprint", "xmlattr"}
"""What answers by chance, or makes as many characters as a number says."""
_METHODS = frozenset(
    """
    capitalize count endswith find get isdigit items keys lower lstrip partition removeprefix removesuffix rpartition
    rsplit rstrip split splitlines startswith strip title upper values
    """.split()  # noqa: SIM905 - as a list it would be half a screen long
)
_STATEMENTS = (nodes.Output, nodes.TemplateData, nodes.If)
_TROUBLE = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class BadTemplate(ValueError):
    """A template that cannot be used, or does not fit the values; the text says what is wrong."""


class Template:
    """A JSON value whose texts are templates; checked once, rendered often."""

    def __init__(self, value: Any) -> None:
        """Raises BadTemplate."""
        self._render = _compiled(value)

    def render(self, variables: Variables) -> Any:
        """Return the JSON value. Raises BadTemplate for a name that is missing, or over MAX_OUTPUT_BYTES."""
        value = self._render(variables)
        try:
            size = len(orjson.dumps(value))
        except TypeError as error:
            raise BadTemplate(f"it renders to what is not JSON ({error}); behind map or select, add | list") from None
        if size > MAX_OUTPUT_BYTES:
            raise BadTemplate(f"it renders to {size} bytes; at most {MAX_OUTPUT_BYTES} are taken")
        return value


class _Sandbox(ImmutableSandboxedEnvironment):
    """Expressions and `if` over JSON values."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True)
        self.globals.clear()
        self.filters = {name: filter_ for name, filter_ in FILTERS.items() if name not in _FILTERS_WITHOUT}
        self.filters |= {"replace": _replace, "join": _join}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_callable(self, obj: Any) -> bool:
        name = getattr(obj, "__name__", type(obj).__name__)
        if isinstance(getattr(obj, "__self__", None), str | dict) and name in _METHODS:
            return True
        raise SecurityError(f"{name} cannot be called here; there are filters, and {', '.join(sorted(_METHODS))}")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise SecurityError(f"{operator} is for numbers")
        if operator == "**" and not (abs(left) < 1e6 and abs(right) <= 10):
            raise SecurityError("a power of numbers this large")
        return super().call_binop(context, operator, left, right)


def _replace(text: Any, old: str, new: str) -> str:
    before = str(text)
    if len(before) + before.count(old) * len(new) > MAX_OUTPUT_BYTES:
        raise SecurityError(f"replace makes more than {MAX_OUTPUT_BYTES} characters")
    return before.replace(old, new)


def _join(values: Any, between: str = "") -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) + len(texts) * len(between) > MAX_OUTPUT_BYTES:
        raise SecurityError(f"join makes more than {MAX_OUTPUT_BYTES} characters")
    return between.join(texts)


_SANDBOX = _Sandbox()


def _compiled(value: Any) -> Callable[[Variables], Any]:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        parts = {name: _compiled(part) for name, part in value.items()}
        return lambda variables: {name: render(variables) for name, render in parts.items()}
    if isinstance(value, list):
        renders = [_compiled(part) for part in value]
        return lambda variables: [render(variables) for render in renders]
    constant = value.isoformat() if isinstance(value, datetime | date | time) else value
    return lambda _: constant


def _text(source: str) -> Callable[[Variables], Any]:
    if "{" not in source:
        return lambda _: source
    if len(source) > MAX_CHARACTERS:
        raise BadTemplate(f"a template has at most {MAX_CHARACTERS} characters, this one has {len(source)}")
    try:
        body = _SANDBOX.parse(source).body
        for node in (inner for statement in body for inner in (statement, *statement.find_all(nodes.Stmt))):
            if not isinstance(node, _STATEMENTS):
                raise BadTemplate(f"{source!r}: only expressions and if are for templates, not {type(node).__name__}")
        alone = _only_expression(source)
        if alone is None:
            template = _SANDBOX.from_string(source)
            return lambda variables: _guarded(source, lambda: template.render(variables))
        expression = _SANDBOX.compile_expression(alone, undefined_to_none=False)
    except TemplateError as error:
        raise BadTemplate(f"{source!r} is not a template: {error}") from None
    return lambda variables: _guarded(source, lambda: expression(variables))


def _only_expression(source: str) -> str | None:
    """Return what stands inside `{{ }}` when there is nothing else."""
    tokens = [(kind, text) for _, kind, text in _SANDBOX.lex(source)]
    kinds = [kind for kind, _ in tokens]
    if kinds[:1] != ["variable_begin"] or kinds.index("variable_end") != len(kinds) - 1:
        return None
    return "".join(text for _, text in tokens[1:-1])


def _guarded(source: str, render: Callable[[], Any]) -> Any:
    try:
        value = render()
        if isinstance(value, Undefined):
            str(value)  # a strict one raises, with the name that is missing
    except _TROUBLE as error:
        raise BadTemplate(f"{source!r}: {error}") from None
    return value
