"""What a script loads before it runs: checked, because Deno asks for no permission there.

A static import (or a dynamic one of a literal) may name any file of the machine, as text too, and Deno reads it. The
kernel refuses that where it can confine a process; everywhere the whole graph is looked at first: every local module
has to be inside the folder of the scripts.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from handlers.centerpoint_sync.endings import BadScript, PermissionDenied, ScriptFailed
from handlers.centerpoint_sync.engine import Engine
from handlers.centerpoint_sync.process import Bounds, start
from handlers.centerpoint_sync.scripts import Script

_NEEDS_IMPORT = re.compile(r'Requires import access to "([^"]+)"|remote specifier was requested: "https://([^/"]+)')
_EXCERPT_CHARACTERS = 500


async def check_imports(
    engine: Engine, script: Script, granted: dict[str, list[str]], environment: Mapping[str, str], bounds: Bounds
) -> None:
    """Raises PermissionDenied for a module out of bounds, BadScript for one that does not load.

    A remote module that cannot be fetched raises ScriptFailed, which is worth a retry.
    """
    command = engine.list_imports(script, granted)
    async with start(command, environment, script.folder, bounds) as process:
        shown, said = await process.communicate()
    try:
        modules = orjson.loads(shown)["modules"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        reason = said.decode("utf-8", "replace").strip()[:_EXCERPT_CHARACTERS]
        raise ScriptFailed(f"the imports of {script.name} cannot be listed: {reason}") from None
    for module in modules:
        _check(module, script)


def _check(module: dict[str, Any], script: Script) -> None:
    specifier, failure = str(module["specifier"]), str(module.get("error", ""))
    scheme = urlsplit(specifier).scheme
    if scheme == "file":
        path = Path(unquote(urlsplit(specifier).path)).resolve()
        if not path.is_relative_to(script.folder):
            raise PermissionDenied(
                f"{script.name} imports {str(path)!r}, which is outside of the folder of the scripts"
            )
    if scheme == "npm":
        raise PermissionDenied(f"{script.name} imports {specifier!r}: npm packages are never installed for a script")
    if not failure:
        return
    if denied := _NEEDS_IMPORT.search(failure):
        host = denied[1] or denied[2]
        raise PermissionDenied(
            f"{script.name} imports from {host!r}: declare it in {script.manifest.name},"
            f' [permissions] import = ["{host}"]'
        )
    reason = f"{script.name} does not load: {failure[:_EXCERPT_CHARACTERS]}"
    raise ScriptFailed(reason) if scheme in ("http", "https", "jsr") else BadScript(reason)
