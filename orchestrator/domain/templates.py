"""Templates in Jinja2's sandbox: JSON values in, a JSON value out.

A text that is one expression alone, `{{ body.number }}`, keeps the value's type; any other renders to a text. The
result depends on the values and nothing else (no clock, no chance), so rendering again gives the same. What is missing
is an error, never an empty text. A dotted name is a key first: `body.items` is the key `items`.

Values come from strangers, so nothing here grows faster than they do: no loops, and no repetition of texts.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

import orjson
from jinja2 import StrictUndefined, TemplateError, Undefined, nodes, pass_context, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARACTERS = 10_000
MAX_OUTPUT_BYTES = 1_000_000
_MOST_INDENT = 8

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
_TROUBLE = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError, RecursionError,
)  # fmt: skip


class BadTemplate(ValueError):
    """A template that cannot be used, or does not fit the values; the text says what is wrong.

    For a template that stands in a file: `reason` is that text without the source, `line` the line if it is known.
    """

    def __init__(self, text: str, reason: str | None = None, line: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason or text
        self.line = line


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
        self.filters |= {"replace": _replace, "join": _join, "map": _map, "tojson": _tojson}

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


@pass_context
def _map(context: Context, *values: Any, **options: Any) -> Iterator[Any]:
    made = 0
    for part in FILTERS["map"](context, *values, **options):
        made += len(part) if isinstance(part, str) else 0
        if made > MAX_OUTPUT_BYTES:
            raise SecurityError(f"map makes more than {MAX_OUTPUT_BYTES} characters")
        yield part


@pass_eval_context
def _tojson(context: nodes.EvalContext, value: Any, indent: int | None = None) -> Any:
    if indent is not None and indent > _MOST_INDENT:
        raise SecurityError(f"tojson indents by at most {_MOST_INDENT}")
    return FILTERS["tojson"](context, value, indent)


_SANDBOX = _Sandbox()


def reads(source: str) -> list[tuple[str, ...]]:
    """Return what a sound template looks at: each name and the keys written behind it, as often as they are used."""
    if "{" not in source:
        return []
    found: list[tuple[str, ...]] = []
    left: list[nodes.Node] = [_SANDBOX.parse(source)]
    while left:
        node = left.pop()
        path = _path(node.node if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) else node)
        if path is None:
            left.extend(node.iter_child_nodes())
            continue
        found.append(path[:-1] if isinstance(node, nodes.Call) else path)
        left.extend(node.iter_child_nodes(only=("args", "kwargs")))
    return found


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    """Return the keys of `name.key["key"]`; None for another kind of expression."""
    keys: list[str] = []
    while not isinstance(node, nodes.Name):
        match node:
            case nodes.Getattr():
                keys.append(node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str() as key)):
                keys.append(key)
            case _:
                return None
        node = node.node
    return (node.name, *reversed(keys))


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
                reason = f"only expressions and if are for templates, not {type(node).__name__}"
                raise BadTemplate(f"{source!r}: {reason}", reason, node.lineno)
        alone = _only_expression(source)
        if alone is None:
            template = _SANDBOX.from_string(source)
            return lambda variables: _guarded(source, lambda: template.render(variables), _line_of)
        expression = _SANDBOX.compile_expression(alone, undefined_to_none=False)
    except (RecursionError, SyntaxError) as error:  # Python's own limits, met while it is parsed or compiled
        reason = f"it is too deep: {type(error).__name__}"
        raise BadTemplate(f"{source[:100]!r}...: {reason}", reason) from None
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise BadTemplate(f"{source!r} is not a template: {error}", str(error), line) from None
    return lambda variables: _guarded(source, lambda: expression(variables))


def _only_expression(source: str) -> str | None:
    """Return what stands inside `{{ }}` when there is nothing else."""
    tokens = [(kind, text) for _, kind, text in _SANDBOX.lex(source)]
    kinds = [kind for kind, _ in tokens]
    if kinds[:1] != ["variable_begin"] or kinds.index("variable_end") != len(kinds) - 1:
        return None
    return "".join(text for _, text in tokens[1:-1])


def _guarded(
    source: str, render: Callable[[], Any], line_of: Callable[[Exception], int | None] = lambda _: None
) -> Any:
    try:
        value = render()
        if isinstance(value, Undefined):
            str(value)  # a strict one raises, with the name that is missing
    except _TROUBLE as error:
        raise BadTemplate(f"{source!r}: {error}", str(error), line_of(error)) from None
    return value


def _line_of(error: Exception) -> int | None:
    """Return the line of the template at which rendering failed; Jinja2 writes it into the traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else None
