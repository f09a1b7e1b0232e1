"""What a script may do: declared in a TOML file beside it, narrowed by the payload and the worker's configuration.

Without a manifest a script may do nothing but compute. Nothing ever gets wider than what is declared.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from handlers.centerpoint_sync.endings import BadScript, PermissionDenied
from orchestrator.sdk import Config

KINDS = ("net", "env", "read", "write", "import")

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"[^,\0\r\n]+")
_OURS = re.compile(
    # What opens the orchestrator itself, and what steers the engine or the loader.
    r"AUREA_.*|DATABASE_URL|REDIS_URL|SUPABASE_(SERVICE_ROLE_KEY|JWT_SECRET)"
    r"|(DENO|NODE|V8|LD|DYLD|PYTHON)_.*|PATH|HOME|TMPDIR|NO_COLOR"
)

Entries = Annotated[list[str], Field(max_length=100)]


class Permissions(BaseModel):
    """Lists of hosts (`host` or `host:port`), variables, and paths relative to the folder of the scripts."""

    model_config = ConfigDict(extra="forbid")

    net: Entries = []
    env: Entries = []
    read: Entries = []
    write: Entries = []
    imports: Annotated[Entries, Field(alias="import")] = []
    """Hosts that modules may be imported from."""

    @field_validator("net", "imports")
    @classmethod
    def _hosts(cls, hosts: list[str]) -> list[str]:
        return _checked(hosts, _HOST.fullmatch, "is not a host or host:port")

    @field_validator("env")
    @classmethod
    def _variables(cls, names: list[str]) -> list[str]:
        _checked(names, _VARIABLE.fullmatch, "is not the name of a variable")
        return _checked(names, lambda name: not _OURS.fullmatch(name), "is never handed to a script")

    @field_validator("read", "write")
    @classmethod
    def _paths(cls, paths: list[str]) -> list[str]:
        return _checked(paths, _PATH.fullmatch, "is not a path (no commas)")


class Manifest(BaseModel):
    """One script's declaration."""

    model_config = ConfigDict(extra="forbid")

    memory_mb: Annotated[int, Field(ge=32, le=16_384)] = 256
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """None: the task's own timeout alone."""
    permissions: Permissions = Permissions()
    shown_env: Entries = []
    """Variables whose values are no secrets: they may appear in logs, checkpoints and results."""

    @model_validator(mode="after")
    def _shows_only_what_it_has(self) -> Self:
        if unknown := set(self.shown_env) - set(self.permissions.env):
            raise ValueError(f"shown_env names {', '.join(sorted(unknown))}, which permissions.env does not")
        return self


class Narrowed(BaseModel):
    """What the payload leaves of a manifest's permissions; a kind that it does not name stays as declared."""

    model_config = ConfigDict(extra="forbid")

    net: Entries | None = None
    env: Entries | None = None
    read: Entries | None = None
    write: Entries | None = None
    imports: Annotated[Entries | None, Field(alias="import")] = None


def read_manifest(path: Path) -> Manifest:
    """Raises BadScript with the reason."""
    if not path.exists():
        return Manifest()
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text()))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        listed = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found[:5])
        raise BadScript(f"{path.name} is no manifest: {listed}") from None
    except (ValueError, OSError) as error:  # not TOML, not UTF-8, not to be opened
        raise BadScript(f"{path.name} cannot be read: {error}") from None


def grant(name: str, declared: Permissions, narrowed: Narrowed, config: Config, folder: Path) -> dict[str, list[str]]:
    """Return what the script gets, by kind; paths are absolute. `name` is the manifest's, for messages.

    Raises PermissionDenied when payload or configuration do not fit the manifest.
    """
    granted = {}
    for kind in KINDS:
        entries = _resolved(kind, _of(declared, kind), folder)
        asked = _of(narrowed, kind)
        if asked is not None:
            asked = _resolved(kind, asked, folder)
            for entry in (each for each in asked if each not in entries):
                raise PermissionDenied(
                    f"the payload asks for {kind} {entry!r}, which {name} does not declare: a payload only narrows"
                )
            entries = asked
        variable = f"CENTERPOINT_{kind.upper()}"
        limit = config.get(variable)
        if limit is not None:
            allowed = _resolved(kind, [each.strip() for each in limit.split(",")], folder)
            for entry in (each for each in entries if each not in allowed):
                raise PermissionDenied(
                    f"{name} declares {kind} {entry!r}, which {variable} of the worker does not list"
                )
        granted[kind] = entries
    return granted


def _of(permissions: Permissions | Narrowed, kind: str) -> Any:
    return getattr(permissions, "imports" if kind == "import" else kind)


def _resolved(kind: str, entries: list[str], folder: Path) -> list[str]:
    if kind not in ("read", "write"):
        return entries
    paths = [(folder / entry).resolve() for entry in entries]
    for path in paths if kind == "write" else ():
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            raise PermissionDenied(
                f"write {str(path)!r} would let the script change scripts and manifests: declare a folder elsewhere"
            )
    return [str(path) for path in paths]


def _checked(entries: list[str], fits: Callable[[str], Any], complaint: str) -> list[str]:
    for entry in entries:
        if not fits(entry):
            raise ValueError(f"{entry!r} {complaint}")
    return entries
