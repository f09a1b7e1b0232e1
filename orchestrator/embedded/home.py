"""The folder of one local system (AUREA_HOME): what survives a restart, and who runs in it.

    postgres/ valkey/   the servers' own files         secrets.json   the servers' passwords
    token               the API's admin token          run/           lock, ports.json, up.json (what runs)
    logs/               what the processes say         artifacts/     the files that tasks keep
    signing             what webhooks that go out are signed with

Everything is readable by its owner only. One process at a time holds the lock; the kernel frees it when that ends.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from orchestrator.domain.errors import NotStarted


@dataclass(frozen=True, slots=True)
class Running:
    """What runs in a home: the process that holds the lock, where its API answers, its servers' ports, its parts."""

    pid: int
    url: str
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)


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
        self.artifacts = self.folder / "artifacts"
        self._token = self.folder / "token"
        self._signing = self.folder / "signing"
        self._secrets = self.folder / "secrets.json"
        self._run = self.folder / "run"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder and be the only one in it. Raises NotStarted, naming who runs or what is wrong with it."""
        try:
            self._make()
        except OSError as error:
            reason = f"{self.folder} cannot hold our state ({error.strerror})"
            raise NotStarted(f"{reason}: choose another folder with --home or AUREA_HOME") from None
        with open(self._run / "lock", "a") as lock:
            if not _locked(lock, fcntl.LOCK_EX):
                raise NotStarted(self._occupied())
            yield
            (self._run / "up.json").unlink(missing_ok=True)  # only here: after a crash the next start reads it

    def running(self) -> Running | None:
        """What runs here now; None when nothing does, or when it is just starting."""
        try:
            with open(self._run / "lock") as lock:
                free = _locked(lock, fcntl.LOCK_SH)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if free else self.announced()

    def announced(self) -> Running | None:
        """What the last one to hold the lock said; with the lock held: what one that crashed may have left behind."""
        known = self._read("run/up.json")
        return Running(**known) if known else None

    def announce(self, running: Running) -> None:
        """Say what runs here; taken back when the lock is given up."""
        self._write("run/up.json", asdict(running))

    def passwords(self) -> Passwords:
        """The servers' passwords, made on first use. Call it with the lock held."""
        known = self._read("secrets.json")
        if not known and self.postgres.exists():
            raise NotStarted(f"{self._secrets} is missing: restore it, or start over with --fresh")
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

    def signing_secret(self) -> str:
        """The master secret of webhooks that go out, made on first use."""
        if not self._signing.exists():
            _write_private(self._signing, secrets.token_urlsafe(32).encode() + b"\n")
        return self._signing.read_text().strip()

    def ports(self) -> dict[str, int]:
        """The ports the servers had last, by name."""
        return {name: int(port) for name, port in self._read("run/ports.json").items()}

    def keep_ports(self, ports: dict[str, int]) -> None:
        self._write("run/ports.json", ports)

    def wipe(self) -> None:
        """Forget everything but the lock, which the caller holds. Nothing that is not ours is touched."""
        for folder in (self.postgres, self.valkey, self.logs, self.artifacts):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self._token, self._signing, self._secrets, self._run / "ports.json"):
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

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return dict(orjson.loads((self.folder / name).read_bytes()))
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError:
            raise NotStarted(f"{self.folder / name} is damaged: restore it, or start over with --fresh") from None

    def _write(self, name: str, values: Mapping[str, object]) -> None:
        _write_private(self.folder / name, orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n")


def _locked(lock: IO[str], kind: int) -> bool:
    """Try for a moment: who asks `running` holds the lock for an instant, too."""
    for _ in range(5):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
