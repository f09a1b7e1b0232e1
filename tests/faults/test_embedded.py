"""The embedded servers and their folder: whatever kills them, the next start finds everything."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from orchestrator.domain.errors import NotStarted
from orchestrator.embedded.home import Home, Running
from orchestrator.embedded.postgres import Postgres
from orchestrator.embedded.process import alive, trim
from orchestrator.embedded.servers import Servers, urls_of_running
from orchestrator.embedded.valkey import Valkey

ROOT = Path(__file__).parents[2]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres", tmp_path / "postgres.log", "s3cret-one", {"fsync": "off"})
    yield server
    server.stop()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey", tmp_path / "valkey.log", "s3cret-two")
    yield server
    server.stop()


def command_line(pid: int) -> str:
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def wait_until_gone(pid: int) -> None:
    patience = time.monotonic() + 10
    while alive(pid) and "defunct" not in command_line(pid):
        assert time.monotonic() < patience, command_line(pid)
        time.sleep(0.01)


async def test_a_killed_postgres_keeps_its_rows_and_its_port(postgres: Postgres) -> None:
    postgres.start()
    port = postgres.port
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("create table kept as select 42 as answer")
    assert not postgres.ended
    postgres.kill()
    connection.terminate()
    postgres.start(port)
    assert postgres.port == port
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("select answer from kept") == 42
    await connection.close()


async def test_postgres_wants_the_password_and_never_shows_it(postgres: Postgres) -> None:
    postgres.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace("s3cret-one", "guessed"))
    pid = int((postgres.folder / "postmaster.pid").read_text().splitlines()[0])
    assert "postgres -D" in command_line(pid)
    assert "s3cret-one" not in command_line(pid)
    assert list(postgres.folder.parent.glob("*.password")) == []


def test_an_interrupted_set_up_is_done_again(postgres: Postgres) -> None:
    half = postgres.folder.with_name("postgres.unfinished")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert not half.exists()


def test_a_folder_of_another_postgres_is_left_alone(postgres: Postgres) -> None:
    postgres.folder.mkdir()
    (postgres.folder / "PG_VERSION").write_text("12\n")
    with pytest.raises(NotStarted, match=r"made by Postgres 12.*DATABASE_URL"):
        postgres.start()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = Postgres(tmp_path / "postgres", tmp_path / "postgres.log", "s", {"fsync": "off", "shared_buffers": "much"})
    with pytest.raises(NotStarted, match='invalid value for parameter "shared_buffers": "much"'):
        broken.start()


def test_a_killed_valkey_keeps_its_keys(valkey: Valkey) -> None:
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        client.set("kept", "42")
        client.execute_command("WAITAOF", 1, 0, 2000)
        pid = client.info("server")["process_id"]
    assert "s3cret-two" not in command_line(pid)
    valkey.kill()
    valkey.start(valkey.port)
    with redis.Redis.from_url(valkey.url) as client:
        assert client.get("kept") == b"42"
        assert client.info("memory")["maxmemory_policy"] == "noeviction"


def test_a_taken_port_is_not_fought_over(valkey: Valkey, tmp_path: Path) -> None:
    valkey.start()
    other = Valkey(tmp_path / "other", tmp_path / "other.log", "another")
    other.start(valkey.port)
    assert other.port != valkey.port
    other.stop()


CHILD = """
import os, signal, sys
from pathlib import Path
from orchestrator.embedded.home import Home
from orchestrator.embedded.servers import Servers
home = Home(Path(sys.argv[1]))
with home.hold():
    servers = Servers(home, postgres=True, valkey=True)
    servers.start()
    print(*(server._pid for server in servers.each.values()), flush=True)
    signal.pause()
"""


def test_servers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with subprocess.Popen([sys.executable, "-c", CHILD, home.folder], stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        with pytest.raises(NotStarted, match="is in use"), home.hold():
            pass
        owner.kill()
    for pid in pids:
        wait_until_gone(pid)
    log = home.log("postgres").read_text()
    assert "received fast shutdown request" in log
    with home.hold():  # nobody holds it any more
        servers = Servers(home, postgres=True, valkey=True)
        servers.start()
        servers.stop()


def test_a_server_that_was_left_behind_is_adopted(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.hold():
        first = Servers(home, postgres=True, valkey=True)
        first.start()
        second = Servers(home, postgres=True, valkey=True)
        second.start()
        assert second.variables() == first.variables()
        home.announce(Running(os.getpid(), "http://127.0.0.1:1", first.ports))
        assert urls_of_running(home) == first.variables()
        first.stop()


def test_a_home_is_private_and_survives_a_fresh_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home" / "notes.txt").write_text("not ours")
    with home.hold():
        passwords, token, signing = home.passwords(), home.token(None), home.signing_secret()
        home.keep_ports({"postgres": 1})
        assert home.passwords() == passwords
        assert home.token(None) == token
        assert home.signing_secret() == signing
        assert home.token("given") == "given" == home.kept_token()
        for name in ("secrets.json", "token", "signing", "run/ports.json"):
            assert (home.folder / name).stat().st_mode & 0o777 == 0o600
        assert home.folder.stat().st_mode & 0o777 == 0o700
        home.wipe()
        assert home.passwords() != passwords
        assert home.token(None) not in (token, "given")
        assert home.signing_secret() != signing
        assert home.ports() == {}
    assert (home.folder / "notes.txt").exists()


def test_a_home_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotStarted, match="choose another folder with --home"), Home(folder).hold():
            pass
        assert Home(folder).running() is None


def test_who_runs_is_known_only_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.running() is None
    with home.hold():
        assert home.running() is None
        running = Running(os.getpid(), "http://127.0.0.1:8000", {"valkey": 7}, {"api": 8})
        home.announce(running)
        assert home.running() == running
    assert home.running() is None
    with pytest.raises(NotStarted, match="aurea up"):
        urls_of_running(home)


def test_lost_passwords_are_not_made_up_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.hold():
        home.postgres.mkdir()
        with pytest.raises(NotStarted, match=r"secrets.json is missing.*--fresh"):
            home.passwords()
        (home.folder / "secrets.json").write_text("{")
        with pytest.raises(NotStarted, match=r"damaged.*--fresh"):
            home.passwords()


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.truncate(33 * 1024 * 1024)
        trim(log)
        writer.write(b"goes on\n")
    assert log.read_bytes() == b"goes on\n"
    assert (tmp_path / "api.log.1").stat().st_size == 33 * 1024 * 1024


WHO = """
import signal, subprocess, sys
from pathlib import Path
from orchestrator.embedded.process import launched
sys.exit(subprocess.run(launched(["/usr/bin/id", "-u"], signal.SIGKILL, Path(sys.argv[1]))).returncode)
"""
AS_IN_DOCKER = """
import ctypes, os, sys
child = os.fork()
if child == 0:
    ctypes.CDLL(None).unshare(0x10000000)
    os.kill(os.getpid(), 19)  # stop here until there is a map of users
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[2]])
os.waitpid(child, os.WUNTRACED)
for kind in ("uid", "gid"):
    open(f"/proc/{child}/{kind}_map", "w").write("0 0 100000")
os.kill(child, 18)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Runs a program as a root that may not make user namespaces."""


@pytest.mark.parametrize("forbidden", [False, True] if os.geteuid() == 0 else [False])
def test_postgres_never_runs_as_root(tmp_path: Path, forbidden: bool) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    start = [sys.executable, "-c", *([AS_IN_DOCKER] if forbidden else []), WHO, str(folder)]
    shown = subprocess.run(start, capture_output=True, text=True, cwd=ROOT)
    assert shown.stdout.strip() not in ("", "0"), shown.stderr
    assert folder.stat().st_uid == (65534 if forbidden else os.geteuid())
