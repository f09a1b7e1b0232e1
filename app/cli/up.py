"""`aurea up`: the whole system on one machine, from servers to scheduler, until Ctrl-C.

Everything is a child of this process and ends with it, even when it is killed with -9: what was accepted is in the
folder, and the next `aurea up` goes on from there.
"""

import asyncio
import http.client
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from app.cli.address import require_free_port, url_at
from app.cli.signals import Signals
from app.cli.supervisor import Part, Supervisor, end_left_parts
from app.cli.tail import say
from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.home import Home, Running
from orchestrator.embedded.servers import Servers
from orchestrator.settings import Settings, child_environment, read_settings

verbs = typer.Typer()

_READY_WITHIN_SECONDS = 60.0
_AFTER_GRACE_SECONDS = 5.0
_DEFAULT_URL = "http://127.0.0.1:8000"

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Where the API listens; default PORT, else 8000.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")]
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="Where state lives; default AUREA_HOME, else .aurea.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete that state first, without asking.")]


@verbs.command()
def up(port: Port = None, workers: Workers = 1, home: Folder = None, fresh: Fresh = False) -> None:
    """Start everything on this machine, embedded Postgres and Redis included, and keep it running."""
    settings = read_settings(port=port, aurea_home=home)
    place = Home(settings.aurea_home)
    _check_handlers(settings)
    if not place.logs.exists():  # nothing of ours can hold the port, and a refusal leaves no folders behind
        require_free_port(settings.host, settings.port)
    with Signals() as signals, place.hold():
        end_left_parts(place.announced())
        require_free_port(settings.host, settings.port)
        if fresh:
            _forget(place)
        servers = Servers(place, postgres=settings.database_url is None, valkey=settings.redis_url is None)
        try:
            servers.start()
            if not signals.wait(0):
                _run(settings, place, servers, workers, signals)
        finally:
            servers.stop()
        say(["stopped"])


def _run(settings: Settings, home: Home, servers: Servers, workers: int, signals: Signals) -> None:
    token = home.token(settings.aurea_api_token.get_secret_value() if settings.aurea_api_token else None)
    variables = {**servers.variables(), "AUREA_API_TOKEN": token}
    if not settings.aurea_signing_secrets:
        variables["AUREA_SIGNING_SECRETS"] = home.signing_secret()
    _migrate(settings, variables)
    parts = _parts(settings, home, variables, workers)
    supervisor = Supervisor(list(servers.each.values()), parts, signals)
    url = url_at(settings.host, settings.port)

    def announce() -> None:
        home.announce(Running(os.getpid(), url, servers.ports, {part.name: part.pid for part in parts}))

    try:
        for part in parts:
            part.start()
        announce()
        if _wait_for_api(supervisor, parts[0], url):
            say(_welcome(url, token, home))
            supervisor.run(announce)
        grace = f"{settings.shutdown_grace_seconds:g} s"
        say([f"stopping: waiting up to {grace} for what runs; Ctrl-C again to stop now"])
    finally:
        supervisor.stop(settings.shutdown_grace_seconds + _AFTER_GRACE_SECONDS)


def _check_handlers(settings: Settings) -> None:
    """Raises HandlerBroken: every part would end with it, again and again."""
    from orchestrator.discovery import discover

    discover(settings.aurea_handlers)


def _migrate(settings: Settings, variables: dict[str, str]) -> None:
    from orchestrator.ledger.migrate import migrate

    url = settings.database_url.get_secret_value() if settings.database_url else variables["DATABASE_URL"]
    asyncio.run(migrate(url))


def _parts(settings: Settings, home: Home, variables: dict[str, str], workers: int) -> list[Part]:
    """The API first. Addresses and secrets travel in the environment, where `ps` does not show them."""
    environment = child_environment(
        {
            **variables,
            "AUREA_HOME": str(home.folder),
            "HOST": settings.host,
            "PORT": str(settings.port),
            "LOG_FORMAT": settings.log_format or ("pretty" if sys.stdout.isatty() else "json"),
        }
    )
    command = [sys.executable, str(Path(sys.executable).with_name("aurea"))]
    named = {"api": "api", **{f"worker-{number + 1}": "worker" for number in range(workers)}, "scheduler": "scheduler"}
    return [Part(name, [*command, verb], home.log(name), environment) for name, verb in named.items()]


def _wait_for_api(supervisor: Supervisor, api: Part, url: str) -> bool:
    """Whether it answers; False when a stop was asked for first. Raises NotStarted when it ended or takes too long."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    patience = time.monotonic() + _READY_WITHIN_SECONDS
    while not _is_live(host.strip("[]"), int(port)):
        if supervisor.wait(0.05):
            return False
        if api.ended:
            raise NotStarted(f"the API {api.ending} as it started: what it said is above, and in {api.log}")
        if time.monotonic() > patience:
            raise NotStarted(f"the API did not answer within {_READY_WITHIN_SECONDS:.0f} s: see {api.log}")
    return True


def _is_live(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _welcome(url: str, token: str, home: Home) -> list[str]:
    place = [] if url == _DEFAULT_URL else [f"AUREA_URL={url}"]
    if home.folder != Path(".aurea").absolute():
        place.append(f"AUREA_HOME={home.folder}")
    name = "aurea" if shutil.which("aurea") else "./aurea" if Path("aurea").is_file() else sys.argv[0]
    call = " ".join([*place, name])
    return [
        "",
        f"AUREA is ready at {url} (reference: {url}/docs)",
        f"  token  {token}",
        f"  logs   {home.logs}",
        f"""  try    {call} submit hello --payload '{{"name": "Ada"}}' --follow""",
        "Ctrl-C stops everything.",
        "",
    ]


def _forget(home: Home) -> None:
    with suppress(NotStarted):  # without its passwords there is no server to end
        Servers(home, postgres=True, valkey=True).end_leftovers()
    home.wipe()
