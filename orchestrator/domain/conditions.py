"""Conditions in CEL (Common Expression Language), as a person writes them in a rule.

CEL has no cost limit of its own, and an evaluation holds the interpreter. So the text is short, a comprehension
(`exists`, `all`, `map`, ...) may not stand inside another, and none runs over more than 10,000 elements.
"""

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import cel

MAX_CHARACTERS = 2_000
MAX_ELEMENTS = 10_000

_TEXTS = re.compile(
    r"""(?P<comment>//[^\n]*)"""
    r"""|(?:[rR][bB]?|[bB][rR])(?:"{3}.*?"{3}|'{3}.*?'{3}|"[^"]*"|'[^']*')"""
    r"""|"{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""",
    re.DOTALL,
)
_BRACKETS = re.compile(
    r"(?P<loop>\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(\s*(?P<bound>\w*))|(?P<open>[(\[{])|[)\]}]"
)
_PATH = re.compile(r"""(?<![\w.\])"'])([A-Za-z_]\w*)((?:\s*\.\s*[A-Za-z_]\w*|\s*\[\s*"\w+"\s*\])*)(\s*\()?""")
_KEY = re.compile(r"\w+")
_FUNCTIONS = frozenset(
    """
    size contains startsWith endsWith matches int uint double string bytes duration timestamp getFullYear getMonth
    getDate getDayOfMonth getDayOfYear getDayOfWeek getHours getMinutes getSeconds getMilliseconds
    """.split()  # noqa: SIM905 - as a list it would be half a screen long
)


class BadCondition(ValueError):
    """A condition that cannot be used; the text says what is wrong with it."""


class Unanswerable(BadCondition):
    """A condition that is sound and does not fit these values: it compares a text with a number, or looks into null."""


class Facts:
    """The JSON values that conditions are asked about, prepared once for all of them."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.context = cel.Context(dict(variables))
        self._variables = variables

    @cached_property
    def largest(self) -> int:
        """The size of the largest list or object inside."""
        return _largest(self._variables)


class Condition:
    """A condition that was checked once and is asked often."""

    def __init__(self, text: str, variables: Collection[str]) -> None:
        """`variables` are the names it may use. Raises BadCondition."""
        self.text = text
        bound = _bound_names(text)
        try:
            self._program = cel.compile(text)
        except ValueError as error:
            raise BadCondition(f"{text!r} is not CEL: {str(error).splitlines()[0]}") from None
        used = self._program.variables()
        _check_names("variable", used, {*variables, *bound})
        self._variables = frozenset(used) & frozenset(variables)
        self.loops = bool(bound)
        """Whether it goes through lists by a comprehension."""
        _check_names("function", filter(str.isidentifier, self._program.functions()), _FUNCTIONS)

    @cached_property
    def reads(self) -> list[tuple[str, ...]]:
        """What it looks at: each variable and the keys written behind it, as often as they are used."""
        found = []
        for name, keys, called in _PATH.findall(_TEXTS.sub(_without_prose, self.text)):
            path = (name, *_KEY.findall(keys))
            path = path[:-1] if called else path
            if path and name in self._variables:
                found.append(path)
        return found + [(name,) for name in sorted(self._variables - {path[0] for path in found})]

    def holds(self, facts: Facts) -> bool:
        """Whether it is true of these JSON values; false where it asks for a key or an element that is missing.

        Raises Unanswerable, or BadCondition for what no values can satisfy.
        """
        if self.loops and facts.largest > MAX_ELEMENTS:
            raise BadCondition(f"{self.text!r} would run over more than {MAX_ELEMENTS} elements")
        try:
            answer = self._program.execute(facts.context)
        except LookupError:
            return False
        except (TypeError, ArithmeticError) as error:
            raise Unanswerable(f"{self.text!r} does not fit: {str(error).partition('. ')[0]}") from None
        except (ValueError, RuntimeError) as error:
            raise BadCondition(f"{self.text!r} fails: {str(error).splitlines()[0]}") from None
        if not isinstance(answer, bool):
            raise BadCondition(f"{self.text!r} gives {type(answer).__name__}, not true or false")
        return answer


def _without_prose(text: re.Match[str]) -> str:
    """Return a text of a condition if it can be a key, else an empty one; nothing for a comment."""
    inside = text[0].strip("\"'")
    return " " if text["comment"] else f'"{inside if inside.isidentifier() else ""}"'


def _bound_names(text: str) -> set[str]:
    """Return the loop variables of all comprehensions. Raises BadCondition for one inside another."""
    if len(text) > MAX_CHARACTERS:
        raise BadCondition(f"a condition has at most {MAX_CHARACTERS} characters, this one has {len(text)}")
    bound: set[str] = set()
    loops: list[bool] = []
    for token in _BRACKETS.finditer(_TEXTS.sub(lambda match: " " if match["comment"] else "''", text)):
        if token["loop"]:
            if any(loops):
                raise BadCondition(f"{text!r} has a comprehension inside another: that can run for minutes")
            loops.append(True)
            bound.add(token["bound"])
        elif token["open"]:
            loops.append(False)
        elif loops:
            loops.pop()
    return bound


def _check_names(kind: str, used: Any, known: Collection[str]) -> None:
    for name in used:
        if name not in known:
            raise BadCondition(f"there is no {kind} {name!r}; there are: {', '.join(sorted(known))}")


def _largest(value: Any) -> int:
    largest, left = 0, [value]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            part = list(part.values())
        if isinstance(part, list):
            largest = max(largest, len(part))
            left.extend(part)
    return largest
