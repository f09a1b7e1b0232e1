"""The embedded servers of one home: both, or the one that no URL in the environment replaces."""

from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.home import Home
from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.valkey import Valkey

Server = Postgres | Valkey


class Servers:
    """Start them with the home's lock held; stop them before it is given up."""

    def __init__(self, home: Home, *, postgres: bool, valkey: bool) -> None:
        self._home = home
        passwords = home.passwords()
        self.postgres = Postgres(home.postgres, home.log("postgres"), passwords.postgres) if postgres else None
        self.valkey = Valkey(home.valkey, home.log("valkey"), passwords.valkey) if valkey else None

    @property
    def each(self) -> dict[str, Server]:
        named: dict[str, Server | None] = {"postgres": self.postgres, "valkey": self.valkey}
        return {name: server for name, server in named.items() if server}

    def start(self) -> None:
        """Return when all answer; on the ports they had last, as far as these are free. One left over is adopted."""
        ports = self._home.ports()
        for name, server in self.each.items():
            server.start(ports.get(name, 0))
            ports[name] = server.port
        self._home.keep_ports(ports)

    @property
    def ports(self) -> dict[str, int]:
        return {name: server.port for name, server in self.each.items()}

    def stop(self) -> None:
        for server in self.each.values():
            server.stop()

    def end_leftovers(self) -> None:
        """Stop servers that outlived their system, which can happen where Linux does not see to it."""
        ports = self._home.ports()
        for name, server in self.each.items():
            if server.adopt(ports.get(name, 0)):
                server.stop()

    def variables(self) -> dict[str, str]:
        """How other processes are told: the environment variables of the servers that run here."""
        urls = {"DATABASE_URL": self.postgres, "REDIS_URL": self.valkey}
        return {name: server.url for name, server in urls.items() if server}


def urls_of_running(home: Home) -> dict[str, str]:
    """DATABASE_URL and REDIS_URL of the servers that `aurea up` runs in this home. Raises NotStarted when none does."""
    running = home.running()
    if running is None:
        raise NotStarted(
            f"nothing runs in {home.folder}: start it with `aurea up`, or set DATABASE_URL and REDIS_URL to servers"
        )
    servers = Servers(home, postgres="postgres" in running.ports, valkey="valkey" in running.ports)
    for name, server in servers.each.items():
        server.port = running.ports[name]
    return servers.variables()
