"""The folder of one local system (AUREA_HOME): what survives a restart, and who runs in it.

    postgres/ valkey/   the servers' own files         secrets.json   the servers' passwords
    token               the API's admin token          run/           lock, ports.json, up.json (who runs)
    logs/               what the processes say

Everything is readable by its owner only. One process at a time holds the lock; the kernel frees it when that ends.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from orchestrator.domain.errors import NotStarted


@dataclass(frozen=True, slots=True)
class Running:
    """Who runs in a home: its process id, and where its API answers."""

    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class Passwords:
    postgres: str
    valkey: str


class Home:
    """Paths and small files under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.postgres = self.folder / "postgres"
        self.valkey = self.folder / "valkey"
        self.logs = self.folder / "logs"
        self._token = self.folder / "token"
        self._secrets = self.folder / "secrets.json"
        self._run = self.folder / "run"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder and be the only one in it. Raises NotStarted, naming who runs."""
        self._make()
        with open(self._run / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotStarted(self._occupied()) from None
            try:
                yield
            finally:
                (self._run / "up.json").unlink(missing_ok=True)

    def running(self) -> Running | None:
        """Who holds the lock and has said so; None when nobody does."""
        try:
            with open(self._run / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            known = self._read("run/up.json")
            return Running(int(known["pid"]), known["url"]) if known else None
        return None

    def announce(self, running: Running) -> None:
        """Say who runs here; taken back when the lock is given up."""
        self._write("run/up.json", asdict(running))

    def passwords(self) -> Passwords:
        """The servers' passwords, made on first use. Call it with the lock held."""
        known = self._read("secrets.json")
        if not known:
            known = {"postgres": secrets.token_urlsafe(24), "valkey": secrets.token_urlsafe(24)}
            self._write("secrets.json", known)
        return Passwords(known["postgres"], known["valkey"])

    def token(self, given: str | None) -> str:
        """The admin token: the one given, else the one kept, else a new one; kept for the command line to find."""
        token = given or self.kept_token() or secrets.token_urlsafe(32)
        _write_private(self._token, token.encode() + b"\n")
        return token

    def kept_token(self) -> str | None:
        return self._token.read_text().strip() if self._token.exists() else None

    def ports(self) -> dict[str, int]:
        """The ports the servers had last, by name."""
        return {name: int(port) for name, port in self._read("run/ports.json").items()}

    def keep_ports(self, ports: dict[str, int]) -> None:
        self._write("run/ports.json", ports)

    def wipe(self) -> None:
        """Forget everything but the lock, which the caller holds. Nothing that is not ours is touched."""
        for folder in (self.postgres, self.valkey, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self._token, self._secrets, self._run / "ports.json"):
            file.unlink(missing_ok=True)
        self._make()

    def _make(self) -> None:
        for folder in (self.folder, self._run, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def _occupied(self) -> str:
        running = self.running()
        who = f"process {running.pid} runs there, at {running.url}" if running else "another process starts there"
        return f"{self.folder} is in use: {who}. Stop it first, or choose another folder with --home"

    def _read(self, name: str) -> dict[str, str]:
        try:
            return dict(orjson.loads((self.folder / name).read_bytes()))
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError:
            raise NotStarted(f"{self.folder / name} is damaged: restore it, or start over with --fresh") from None

    def _write(self, name: str, values: dict[str, object]) -> None:
        _write_private(self.folder / name, orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n")


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
