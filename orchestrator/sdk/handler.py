"""What a handler is: a function, the shape of its payload, and its limits. Making one registers nothing.

Wrong use raises TypeError or ValueError with a sentence while the module is imported, so it stops a worker at start
and never a task.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.retry import RetryPolicy
from orchestrator.sdk.options import Options, check_options
from orchestrator.sdk.partial import lasting, unknown_fields
from orchestrator.sdk.signature import inspect_function

Kind = Literal["async", "thread", "process"]
Check = Callable[[Any, "Mapping[str, Handler]"], Iterable[Issue]]

_MOST_ISSUES = 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Handler:
    """One kind of task. Call it as the function it wraps."""

    name: str
    function: Callable[..., Any]
    payload_model: Any
    """The annotation of the function's first parameter."""
    takes_context: bool
    description: str
    """The first line of the function's docstring."""
    is_async: bool
    isolation: Literal["process"] | None
    policy: RetryPolicy
    max_retries: int | None
    """None, here and below: the system's default."""
    timeout_seconds: float | None
    memory_mb: int | None
    queue: str | None
    priority: int | None
    check: Check | None = None
    """Looks at a payload that fits the model, when a task is submitted."""
    _adapter: TypeAdapter[Any] = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def kind(self) -> Kind:
        """Where it runs: on the worker's loop, in a thread of the worker, or in a process of its own."""
        return self.isolation or ("async" if self.is_async else "thread")

    def validate(self, payload: Any) -> Any:
        """Return the payload as the function takes it. Raises InvalidInput with an issue for each bad field."""
        try:
            text = orjson.dumps(payload)
        except TypeError as error:
            raise InvalidInput(f"a payload has to be JSON: {error}", [Issue("/payload", str(error))]) from None
        return self.decode(text)

    def decode(self, payload: bytes) -> Any:
        """Like `validate`, for a payload that is JSON text still."""
        try:
            return self._adapter.validator.validate_json(payload)
        except ValidationError as error:
            issues = [Issue("/payload" + _pointer(each["loc"]), each["msg"]) for each in _findings(error)]
            raise _refusal(self.name, issues) from None

    def examine(self, payload: Any, types: Mapping[str, "Handler"]) -> None:
        """Ask the handler's own `check` about what `decode` gave. Raises InvalidInput with its issues."""
        found = [] if self.check is None else list(self.check(payload, types))
        if found:
            raise _refusal(self.name, [Issue("/payload" + issue.pointer, issue.detail) for issue in found])

    def misfits(self, payload: Any, unknown: Collection[str] = ()) -> list[Issue]:
        """Return what is wrong with a payload of which some places are not known yet, whatever they will hold.

        `unknown` are the JSON pointers of those places; pointers begin at the payload. Fields that the model would
        pass over in silence count as wrong: nobody writes them on purpose.
        """
        if "" in unknown:
            return []
        try:
            text = orjson.dumps(payload)
        except TypeError as error:
            return [Issue("", f"has to be JSON: {error}")]
        ignored = unknown_fields(self.payload_model, payload)
        try:
            self._adapter.validator.validate_json(text)
        except ValidationError as error:
            return ignored + lasting(_findings(error), payload, unknown)
        return ignored

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the payload."""
        return self._adapter.json_schema()


def task(
    name: str,
    *,
    max_retries: int | None = None,
    timeout_seconds: float | None = None,
    retry_base_seconds: float = 2.0,
    retry_cap_seconds: float = 3600.0,
    isolation: Literal["process"] | None = None,
    memory_mb: int | None = None,
    queue: str | None = None,
    priority: int | None = None,
    check: Check | None = None,
) -> Callable[[Callable[..., Any]], Handler]:
    """Make the function below it the handler of the task type `name`.

    Its first parameter's annotation is the payload: a pydantic model, or any type that pydantic can check. A second
    parameter, if there is one, receives the context. `async def` runs on the worker's loop, `def` in a thread;
    `isolation="process"` gives either a process of its own, which a timeout or a cancellation really ends, and on
    Linux `memory_mb` more memory than it holds when the handler starts.

    `check(payload, types)` looks at a payload that fits the model, when a task is submitted and before it is kept:
    it returns an `Issue` for each fault, with its JSON pointer inside the payload. `types` are all handlers by name.
    """
    options = check_options(
        name=name,
        max_retries=max_retries,
        timeout_seconds=timeout_seconds,
        retry_base_seconds=retry_base_seconds,
        retry_cap_seconds=retry_cap_seconds,
        isolation=isolation,
        memory_mb=memory_mb,
        queue=queue,
        priority=priority,
        check=check,
    )
    return lambda function: _handler(function, options)


def _handler(function: Callable[..., Any], options: Options) -> Handler:
    signature = inspect_function(function, options.name)
    policy = RetryPolicy(base_seconds=options.retry_base_seconds, cap_seconds=options.retry_cap_seconds)
    if options.max_retries is not None:
        policy = replace(policy, max_retries=options.max_retries)
    return Handler(
        name=options.name,
        function=function,
        payload_model=signature.payload,
        takes_context=signature.takes_context,
        description=(inspect.getdoc(function) or "").partition("\n")[0],
        is_async=signature.is_async,
        isolation=options.isolation,
        policy=policy,
        max_retries=options.max_retries,
        timeout_seconds=options.timeout_seconds,
        memory_mb=options.memory_mb,
        queue=options.queue,
        priority=options.priority,
        check=options.check,
        _adapter=signature.adapter,
    )


def _findings(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _refusal(name: str, issues: Sequence[Issue]) -> InvalidInput:
    told = issues[:_MOST_ISSUES]
    listed = "; ".join(f"{issue.pointer}: {issue.detail}" for issue in told)
    return InvalidInput(f"the payload does not fit {name!r}: {listed}", told)


def _pointer(path: tuple[int | str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of a field of the payload."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
