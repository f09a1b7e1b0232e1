"""Reading a handler's function: what payload it takes, whether it wants a context, and how it runs."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from orchestrator.sdk.context import SyncContext

_NO_PAYLOAD = "its first parameter is the payload and needs a type: a pydantic model, or dict"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    """What there is to know of a handler's function."""

    payload: Any
    adapter: TypeAdapter[Any]
    takes_context: bool
    is_async: bool


def inspect_function(function: Callable[..., Any], name: str) -> Signature:
    """Raises TypeError with a sentence when the function cannot be a handler."""
    where = f"@task({name!r}) on {getattr(function, '__qualname__', function)!s}"
    if not inspect.isfunction(function):
        raise TypeError(f"{where}: a handler is a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{where}: a handler returns its result; it cannot yield")
    parameters = list(inspect.signature(function).parameters.values())
    required = [each for each in parameters[2:] if each.default is each.empty and each.kind not in _STARRED]
    if required:
        raise TypeError(f"{where}: a handler takes (payload, ctx); nothing fills {required[0].name!r}")
    if not parameters or parameters[0].kind not in _POSITIONAL or parameters[0].annotation is inspect.Parameter.empty:
        raise TypeError(f"{where}: {_NO_PAYLOAD}")
    is_async = inspect.iscoroutinefunction(function)
    takes_context = len(parameters) > 1 and parameters[1].kind in _POSITIONAL
    if takes_context:
        _check_context(function, parameters[1], is_async, where)
    payload = _resolve(function, parameters[0], where)
    return Signature(payload, _adapter(payload, where), takes_context, is_async)


def _resolve(function: Callable[..., Any], parameter: inspect.Parameter, where: str) -> Any:
    """Return a parameter's type, also when its module postpones annotations."""
    alone = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return typing.get_type_hints(alone, globalns=function.__globals__, include_extras=True)["it"]
    except NameError as error:
        raise TypeError(f"{where}: the type of {parameter.name!r} has to be defined in its module: {error}") from None


def _check_context(function: Callable[..., Any], parameter: inspect.Parameter, is_async: bool, where: str) -> None:
    # A plain def may say Context for short: what it gets has the same members, without await.
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = function.__globals__.get(annotation)  # it may be imported for the type checker alone
    if is_async and annotation is SyncContext:
        raise TypeError(f"{where}: it is an async def, so its second parameter is a Context")


def _adapter(payload: Any, where: str) -> TypeAdapter[Any]:
    try:
        adapter = TypeAdapter(payload)
        adapter.json_schema()
    except PydanticUserError as error:
        reason = error.message.partition("\n")[0]
        raise TypeError(f"{where}: pydantic cannot check a payload of type {payload!r}: {reason}") from None
    return adapter
