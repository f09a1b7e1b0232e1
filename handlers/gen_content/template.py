"""One template: a file with front matter in YAML (description, system, variables) and a prompt in sandboxed Jinja2.

What is wrong in a file is said with the file and the line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from orchestrator.sdk import Terminal

if TYPE_CHECKING:
    import yaml

    from orchestrator.sdk.expressions import Template

_FENCE = "---"
_MOST_BYTES = 65_536

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Words = Annotated[str, Field(min_length=1)]


class Variable(BaseModel):
    """One variable as its template declares it. Left out, it has its default, else null."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: Words
    required: bool = False
    default: JsonValue = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.required and self.default is not None:
            raise ValueError("a variable is required or has a default, not both")
        return self


class FrontMatter(BaseModel):
    """What stands above the prompt."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: Words
    system: Words | None = None
    variables: dict[Name, Variable] = {}

    def faults(self, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each variable that does not fit, and why."""
        for name in given:
            if name not in self.variables:
                takes = f"it takes {', '.join(self.variables)}" if self.variables else "it takes none"
                yield name, f"the template has no such variable; {takes}"
        for name, variable in self.variables.items():
            value = given.get(name)
            if variable.required and (value is None or (isinstance(value, str) and not value.strip())):
                yield name, f"the template needs it: {variable.description}"

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: given.get(name, variable.default) for name, variable in self.variables.items()}


@dataclass(frozen=True, slots=True)
class ContentTemplate:
    """A template that was read and found good."""

    file: str
    front: FrontMatter
    body: "Template"
    line: int
    """Where the prompt begins in the file."""

    def prompt(self, variables: Mapping[str, Any]) -> str:
        """Raises Terminal naming the variables that are wrong, or where in the file the prompt fails."""
        from orchestrator.sdk.expressions import BadTemplate

        faults = [f"{name}: {why}" for name, why in self.front.faults(variables)]
        if faults:
            raise Terminal(f"the variables do not fit {self.file}: {'; '.join(faults)}")
        try:
            prompt = str(self.body.render(self.front.filled(variables))).strip()
        except BadTemplate as error:
            _refuse(self.file, None if error.line is None else self.line + error.line - 1, error.reason)
        return prompt or _refuse(self.file, self.line, "the prompt is empty with these variables")


def read_template(file: Path) -> ContentTemplate:
    """Return the template of a file, read anew when it changed. Raises OSError, or Terminal naming file and line."""
    return _read(file, _stamp(file))


def read_front(file: Path) -> FrontMatter:
    """Return what a template declares, without a look at its prompt: that loads much less. Raises as above."""
    return _split(file, _stamp(file))[0]


def _stamp(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=64)
def _read(file: Path, stamp: tuple[int, int]) -> ContentTemplate:
    from orchestrator.sdk.expressions import BadTemplate, Template

    front, body, line = _split(file, stamp)
    try:
        prompt = Template(body)
        _check_names(file, body, line, front)
    except BadTemplate as error:
        _refuse(file, None if error.line is None else line + error.line - 1, error.reason)
    return ContentTemplate(str(file), front, prompt, line)


def _check_names(file: Path, body: str, line: int, front: FrontMatter) -> None:
    """Refuse a name that no variable declares: rendering would meet it only on some paths."""
    from jinja2 import Environment, meta, nodes

    parsed = Environment(autoescape=True).parse(body)
    unknown = meta.find_undeclared_variables(parsed) - front.variables.keys()
    for node in parsed.find_all(nodes.Name):
        if node.name in unknown:
            _refuse(file, line + node.lineno - 1, f"{node.name!r} is none of its variables")


@lru_cache(maxsize=64)
def _split(file: Path, stamp: tuple[int, int]) -> tuple[FrontMatter, str, int]:
    """Return front matter, prompt, and the line at which the prompt begins; a new stamp is a new file."""
    if stamp[1] > _MOST_BYTES:
        raise Terminal(f"{file} has {stamp[1]} bytes; a template has at most {_MOST_BYTES}")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Terminal(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from None
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE][:2]
    if len(fences) < 2 or fences[0] != 0:
        _refuse(file, 1, f"a template begins with its front matter between two lines of {_FENCE}")
    body = lines[fences[1] + 1 :]
    if not any(map(str.strip, body)):
        _refuse(file, len(lines), "the prompt is missing behind the front matter")
    # The empty line at the end makes it a text always: one expression alone would keep the value's type.
    return _front(file, "\n".join(lines[1 : fences[1]])), "\n".join(body) + "\n", fences[1] + 2


def _front(file: Path, text: str) -> FrontMatter:
    import yaml

    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        return FrontMatter.model_validate(yaml.safe_load(text) or {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        _refuse(file, mark.line + 2 if mark else 1, f"the front matter is not YAML: {error.problem}")
    except yaml.YAMLError as error:
        _refuse(file, 1, f"the front matter is not YAML: {error}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"]))
        said = found["msg"].removeprefix("Value error, ")
        _refuse(file, _line_of(tree, found["loc"]), f"{place}: {said}" if place else said)


def _line_of(node: "yaml.Node | None", path: tuple[int | str, ...]) -> int:
    """Return the line of the file in which the deepest part of this path stands that was written at all."""
    import yaml

    line = 1 if node is None else node.start_mark.line + 2
    for part in path:
        children = {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        if part not in children:
            break
        key, node = children[part]
        line = key.start_mark.line + 2
    return line


def _refuse(file: str | Path, line: int | None, reason: str) -> NoReturn:
    raise Terminal(f"{file}{f', line {line}' if line else ''}: {reason}")
