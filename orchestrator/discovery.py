"""Finding handlers: the built-in ones, those of installed packages, and the modules a worker was told to load.

Nothing is registered: a module is imported and looked at. One that does not import, or two handlers of one name,
stop the process at start with the file and the reason.
"""

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from orchestrator.domain.errors import HandlerBroken
from orchestrator.sdk import Handler

BUILT_IN = "handlers"
ENTRY_POINTS = "aurea.handlers"

T = TypeVar("T")


class Handlers(Mapping[str, Handler]):
    """Every known handler by its task type."""

    def __init__(self, handlers: Sequence[Handler] = ()) -> None:
        self._handlers: dict[str, Handler] = {}
        self._sources: dict[str, str] = {}
        for handler in handlers:
            self.add(handler, handler.function.__module__)

    def add(self, handler: Handler, source: str) -> None:
        """Raises HandlerBroken when another handler has this name already."""
        if self._handlers.setdefault(handler.name, handler) is not handler:
            raise HandlerBroken(
                f"two handlers are called {handler.name!r}, in {self._sources[handler.name]} and in {source}:"
                " rename one of them"
            )
        self._sources.setdefault(handler.name, source)

    def source(self, name: str) -> str:
        """Return the module or file that `load` takes to give this handler again in another process."""
        return self._sources[name]

    def known(self) -> list[str]:
        """Return the task types, in alphabetical order."""
        return sorted(self._handlers)

    def __getitem__(self, name: str) -> Handler:
        return self._handlers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)


def discover(modules: Sequence[str]) -> Handlers:
    """Return the built-in handlers, those of entry points, and those of the given modules or .py files.

    A file's path is relative to the working directory. Raises HandlerBroken.
    """
    found = Handlers()
    package = _imported(BUILT_IN, lambda: importlib.import_module(BUILT_IN))
    for module in pkgutil.iter_modules(package.__path__, prefix=f"{BUILT_IN}."):
        handlers = load(module.name)
        if len(handlers) != 1:
            raise HandlerBroken(f"{module.name} holds {len(handlers)} handlers: a built-in module holds exactly one")
        found.add(handlers[0], module.name)
    for entry in sorted(entry_points(group=ENTRY_POINTS)):
        for handler in _load_entry_point(entry):
            found.add(handler, entry.module)
    for source in modules:
        for handler in load(source):
            found.add(handler, source)
    return found


def load(source: str) -> list[Handler]:
    """Return the handlers of one module or .py file, at least one. Raises HandlerBroken."""
    module = _imported(source, lambda: _import(source))
    handlers = _handlers_of(module)
    if not handlers:
        raise HandlerBroken(f"{source} holds no handler: name the module in which a function carries @task")
    return handlers


def _import(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = Path(source).resolve()
    if not path.is_file():
        raise HandlerBroken(f"there is no file {path}: correct AUREA_HANDLERS")
    # Under a name of its own, so that a file called like a module of ours, or of Python's, hides neither.
    name = f"aurea_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:  # like any module it runs once in a process: what it registers would be there twice
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise HandlerBroken(f"{path} cannot be imported")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_entry_point(entry: EntryPoint) -> list[Handler]:
    loaded = _imported(f"the entry point {entry.name} = {entry.value}", entry.load)
    handlers = [loaded] if isinstance(loaded, Handler) else _handlers_of(loaded)
    if not handlers:
        raise HandlerBroken(f"the entry point {entry.name} = {entry.value} is no handler and holds none")
    return handlers


def _handlers_of(holder: object) -> list[Handler]:
    """Return the handlers among a module's names, each once, in the order of the file."""
    named = vars(holder).values() if isinstance(holder, ModuleType) else ()
    return list(dict.fromkeys(value for value in named if isinstance(value, Handler)))


def _imported(source: str, importing: Callable[[], T]) -> T:
    try:
        return importing()
    except HandlerBroken:
        raise
    except (Exception, SystemExit) as error:
        raise HandlerBroken(f"{source} does not load: {_where(error)}{_last_line(error)}") from error


def _where(error: BaseException) -> str:
    """Return the file and line that a reader opens first: the outermost one that is not the import system's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: "
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith("<frozen ") and frame.filename not in _IMPORTING:
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


_IMPORTING = {__file__, importlib.__file__, sys.modules[EntryPoint.__module__].__file__}


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()
