"""Finding a script: a .ts file inside the configured folder, and nothing outside of it."""

from dataclasses import dataclass
from pathlib import Path

from handlers.centerpoint_sync.endings import BadScript
from orchestrator.sdk import Config

FOLDER = "CENTERPOINT_SCRIPTS"


@dataclass(frozen=True, slots=True)
class Script:
    """One script on disk."""

    name: str
    """As the payload spells it."""
    path: Path
    folder: Path
    """The configured one, which its imports may not leave."""
    manifest: Path
    """Whether there is one or not."""


def find_script(name: str, config: Config) -> Script:
    """Return the script. Raises Terminal: the folder is not set or not there, the script is not in it."""
    folder = Path(config.require(FOLDER)).resolve()
    if not folder.is_dir():
        raise BadScript(f"{FOLDER} of the worker names {str(folder)!r}, which is no folder")
    path = folder / name
    manifest = path.with_suffix(".toml")
    for each in (path, manifest):
        if not each.resolve().is_relative_to(folder):
            raise BadScript(f"{each.name} leads out of the folder {FOLDER}")
    if not path.is_file():
        raise BadScript(f"there is no script {name!r} in the folder {FOLDER}")
    return Script(name, path.resolve(), folder, manifest)
