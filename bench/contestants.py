"""Who is measured: this system and its peers, each with an interpreter of its own.

A peer's environment is made once from `peers/NAME.txt`, which pins everything, and kept under a cache folder until
that list changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).parent
ROOT = BENCH.parent
OURS = "aurea"
WITH_BULK = frozenset({OURS, "pgqueuer", "procrastinate"})
PEERS = ("arq", "saq", "dramatiq", "taskiq", "celery", "pgqueuer", "procrastinate")


@dataclass(frozen=True)
class Contestant:
    """One system: its interpreter, the module that `bench.program` runs it by, and settings of its own."""

    name: str
    python: Path
    module: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.name == OURS

    @property
    def has_bulk(self) -> bool:
        """Whether many tasks can be submitted in one call."""
        return self.name in WITH_BULK

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", self.module, *arguments]

    def environment(self, servers: Mapping[str, str]) -> dict[str, str]:
        """All that its processes are told: nothing of the caller's environment reaches them."""
        plain = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        return {**plain, **(production(servers) if self.is_ours else {}), **self.settings}


def ours(**settings: str) -> Contestant:
    return Contestant(OURS, Path(sys.executable), "bench.aurea", settings)


def production(servers: Mapping[str, str]) -> dict[str, str]:
    """This system's settings for a run: everything on that is on in production, 1 % of traces exported."""
    return {
        "ENV": "production",
        "DATABASE_URL": servers["postgres"],
        "REDIS_URL": servers["redis"],
        "PORT": servers["api"].rpartition(":")[2],
        "AUREA_API_TOKEN": servers["token"],
        "AUREA_HANDLERS": str(BENCH / "handlers.py"),
        "AUREA_HOME": str(Path.cwd()),
        "MAX_CONCURRENCY": "100",
        "OTEL_EXPORTER_OTLP_ENDPOINT": servers["traces"],
        "AUREA_TRACE_SAMPLE": "0.01",
    }


def peer(name: str, cache: Path) -> Contestant:
    """Return the peer, its environment made if need be. Raises CalledProcessError with pip's words when that fails."""
    wanted = BENCH / "peers" / f"{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = (cache / f"{name}-{digest}").absolute()
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, wanted)
        complete.touch()
    return Contestant(name, folder / "bin" / "python", f"bench.peers.{name}")


def _install(folder: Path, wanted: Path) -> None:
    uv = shutil.which("uv")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(wanted))
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(wanted))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
