"""The engine that runs scripts: Deno, or a recent Node where there is nothing else.

Deno holds a script to every kind of permission. Node holds it to its paths and to starting nothing; the network is
open to it, and signals to processes of the same user.
"""

import importlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

from handlers.centerpoint_sync.endings import BadScript
from handlers.centerpoint_sync.scripts import Script
from orchestrator.sdk import Config, Terminal

OLDEST_NODE = (22, 18)
"""The first that runs TypeScript as it is."""
CLOUD_METADATA = "169.254.169.254"
"""Hands out a machine's credentials to whoever asks; a host's name must not lead there."""

_DENO_QUIET = ("--quiet", "--no-prompt", "--no-npm", "--no-config", "--no-lock")


@dataclass(frozen=True, slots=True)
class Engine:
    """A program on this machine, and how to call it."""

    kind: Literal["deno", "node"]
    program: str

    def run(self, script: Script, granted: dict[str, list[str]], memory_mb: int) -> list[str]:
        """Return the command that runs the script with these permissions."""
        if self.kind == "node":
            return self._run_on_node(script, granted, memory_mb)
        flags = [f"--allow-{kind}={','.join(entries)}" for kind, entries in granted.items() if entries]
        if granted["net"] and CLOUD_METADATA not in granted["net"]:
            flags.append(f"--deny-net={CLOUD_METADATA}")
        if not granted["import"]:
            flags += ["--no-remote", "--cached-only"]
        heap = f"--v8-flags=--max-heap-size={memory_mb}"
        return [self.program, "run", *_DENO_QUIET, "--no-code-cache", heap, *flags, str(script.path)]

    def list_imports(self, script: Script, granted: dict[str, list[str]]) -> list[str]:
        """Return the command that prints what the script loads before it runs, as JSON."""
        remote = f"--allow-import={','.join(granted['import'])}" if granted["import"] else "--no-remote"
        return [self.program, "info", "--json", "--quiet", *_DENO_QUIET[2:], remote, str(script.path)]

    def _run_on_node(self, script: Script, granted: dict[str, list[str]], memory_mb: int) -> list[str]:
        if granted["import"]:
            raise BadScript(f"{script.name} imports from hosts, which Node cannot: install Deno")
        reads = [f"--allow-fs-read={path}" for path in (str(script.folder), *granted["read"])]
        writes = [f"--allow-fs-write={path}" for path in granted["write"]]
        quiet = "--disable-warning=ExperimentalWarning"
        heap = f"--max-heap-size={memory_mb}"
        return [self.program, "--permission", quiet, heap, *reads, *writes, str(script.path)]


def find_engine(config: Config) -> Engine:
    """Return Deno of the Python package, else the one on the PATH, else Node there. Raises Terminal without any."""
    try:
        return Engine("deno", importlib.import_module("deno").find_deno_bin())
    except (ImportError, FileNotFoundError):
        pass
    places = config.get("PATH")
    if places and (program := shutil.which("deno", path=places)):
        return Engine("deno", program)
    if places and (program := shutil.which("node", path=places)) and _version_of(program) >= OLDEST_NODE:
        return Engine("node", program)
    raise Terminal(
        "no engine runs TypeScript here: install the extra `ts` (Deno), or put deno"
        f" or node {'.'.join(map(str, OLDEST_NODE))} or newer on the PATH of the worker"
    )


def _version_of(node: str) -> tuple[int, int]:
    try:
        shown = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603 - no shell
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.match(r"v(\d+)\.(\d+)\.", shown)
    return (int(found[1]), int(found[2])) if found else (0, 0)
