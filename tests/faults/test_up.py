"""`aurea up`: it starts everything, mends what dies, leaves nothing behind, and loses nothing whoever kills it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pytest_httpserver import HTTPServer

from app.cli.supervisor import end_left_parts
from orchestrator.embedded.home import Home, Running
from orchestrator.embedded.process import alive
from orchestrator.embedded.servers import urls_of_running
from tests.faults.local_system import READY, Up, aurea, still_running, until
from tests.faults.system import AUREA, free_port

pytestmark = pytest.mark.xdist_group("up")  # they share one system
LATER = {"type": "http_request", "payload": {"url": "https://example.com"}, "delay_seconds": 3600}


@pytest.fixture(scope="module")
def sink() -> Iterator[HTTPServer]:
    """The outside world of the running system."""
    with HTTPServer(host="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, sink: HTTPServer) -> Iterator[Up]:
    """One running system for the tests that leave it in order."""
    home = tmp_path_factory.mktemp("up") / "home"
    system = Up(home, free_port(), "--workers", "2", AUREA_ALLOW_PRIVATE_HOSTS=f"127.0.0.1:{sink.port}")
    system.wait_for(READY)
    yield system
    children = system.children()
    assert system.end() == 0
    assert still_running(home, children) == {}


def test_it_says_where_it_is_and_how_to_get_in(up: Up) -> None:
    welcome = "\n".join(up.said)
    token = (up.home / "token").read_text().strip()
    assert f"AUREA is ready at {up.url}" in welcome
    assert token in welcome
    assert httpx2.get(f"{up.url}/tasks", trust_env=False).status_code == 401
    with up.client() as client:
        assert client.get("/tasks").status_code == 200


def test_the_first_command_works_as_it_is_printed(up: Up) -> None:
    command = next(line.removeprefix("  try") for line in "\n".join(up.said).splitlines() if line.startswith("  try"))
    path = f"{AUREA.parent}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", command], env={"PATH": path}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_runs_a_task_on_it(up: Up, sink: HTTPServer) -> None:
    sink.expect_request("/hello").respond_with_json({"hello": "you"})
    payload = json.dumps({"url": sink.url_for("/hello")})
    done = aurea(up.home, "submit", "http_request", "--payload", payload, "--follow", AUREA_URL=up.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_part_is_a_process_that_says_what_it_is(up: Up) -> None:
    commands = sorted(up.children().values())
    for what in ("aurea api", "aurea scheduler", "bin/postgres", "valkey-server"):
        assert sum(what in command for command in commands) == 1, commands
    assert sum("aurea worker" in command for command in commands) == 2, commands


def test_no_secret_is_on_a_command_line_or_readable_by_others(up: Up) -> None:
    passwords = json.loads((up.home / "secrets.json").read_text())
    secrets = [*passwords.values(), (up.home / "token").read_text().strip()]
    assert not [command for command in up.children().values() if any(secret in command for secret in secrets)]
    assert up.home.stat().st_mode & 0o777 == 0o700
    for path in (up.home / "secrets.json", up.home / "token", *(up.home / "logs").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_one_on_the_same_home_is_told_who_runs(up: Up) -> None:
    refused = aurea(up.home, "up", "--port", str(free_port()))
    assert refused.returncode == 1
    assert f"process {up.process.pid} runs there, at {up.url}" in refused.stderr


def test_a_taken_port_is_named_with_the_flag(up: Up, tmp_path: Path) -> None:
    port = up.url.rpartition(":")[2]
    refused = aurea(tmp_path / "home", "up", "--port", port)
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert "--port" in refused.stderr


def test_a_part_of_its_own_joins_the_running_system(up: Up) -> None:
    assert "every migration applied" in aurea(up.home, "check").stdout
    assert "nothing to do" in aurea(up.home, "migrate").stdout
    with subprocess.Popen(
        [AUREA, "worker", "--queue", "extra", "--home", up.home], env={"PATH": os.environ["PATH"]}, cwd=up.home.parent
    ) as worker:
        with up.client() as client:
            until(lambda: worker.pid in {each["pid"] for each in client.get("/workers").json()["items"]})
        worker.terminate()
        assert worker.wait(30) == 0


def test_a_part_with_nothing_to_join_says_what_to_do(tmp_path: Path) -> None:
    refused = aurea(tmp_path / "home", "worker")
    assert refused.returncode == 1
    assert "aurea up" in refused.stderr
    assert "DATABASE_URL" in refused.stderr


@pytest.mark.parametrize("what", ["aurea api", "aurea worker", "aurea scheduler", "valkey-server", "bin/postgres"])
def test_what_is_killed_is_started_again(up: Up, what: str) -> None:
    up.replaced(what)
    up.wait_for("starting it again")
    with up.client() as client:
        until(lambda: _answers(client))
        until(lambda: len(client.get("/workers").json()["items"]) >= 2)


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def test_parts_that_outlived_their_system_are_ended(tmp_path: Path) -> None:
    def orphan(*words: str) -> int:
        """A process that is not our child, and says this on its command line."""
        shell = f"{sys.executable} -c 'import time; time.sleep(60)' {' '.join(words)} >/dev/null 2>&1 & echo $!"
        return int(subprocess.run(["sh", "-c", shell], capture_output=True).stdout)

    left, foreign = orphan("aurea", "worker"), orphan("postfix", "worker")
    end_left_parts(Running(1, "http://127.0.0.1:1", parts={"worker-1": left, "worker-2": foreign}))
    assert not alive(left)
    assert alive(foreign)
    os.kill(foreign, signal.SIGKILL)


async def test_it_loses_nothing_when_killed_and_everything_when_told_to(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    killed = Up(home, port)
    killed.wait_for(READY)
    children = killed.children()
    with killed.client() as client:
        task = client.post("/tasks", json=LATER).json()
    killed.end(signal.SIGKILL)
    until(lambda: still_running(home, children) == {}, seconds=10)

    again = Up(home, port)
    again.wait_for(READY)
    with again.client() as client:
        assert client.get(f"/tasks/{task['id']}").json()["status"] == "scheduled"
    connection = await asyncpg.connect(urls_of_running(Home(home))["DATABASE_URL"])
    assert await connection.fetchval("select count(*) from orchestrator_tasks") == 1
    await connection.close()
    children = again.children()
    assert again.end(signal.SIGINT) == 0
    assert still_running(home, children) == {}

    fresh = Up(home, port, "--fresh")
    fresh.wait_for(READY)
    with fresh.client() as client:
        assert client.get(f"/tasks/{task['id']}").status_code == 404
    assert fresh.end() == 0


def test_a_stop_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    early = Up(home, free_port())
    until(lambda: (home / "run" / "up.json").exists())
    children = early.children()
    assert early.end() == 0
    assert READY not in "\n".join(early.said)
    assert still_running(home, children) == {}


def test_a_port_that_is_taken_leaves_no_folder_behind(tmp_path: Path, sink: HTTPServer) -> None:
    assert aurea(tmp_path / "home", "up", "--port", str(sink.port)).returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["up", "api"])
def test_a_broken_handler_module_is_told_in_one_line_before_anything_starts(tmp_path: Path, verb: str) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    stores = {"DATABASE_URL": "postgresql://127.0.0.1:9/x", "REDIS_URL": "redis://127.0.0.1:9"}
    port = str(free_port())
    refused = aurea(tmp_path / "home", verb, "--port", port, AUREA_HANDLERS=str(broken), **stores)
    assert refused.returncode == 1
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert "No module named 'nothing_of_that_name'" in line
    assert str(broken) in line
    assert not (tmp_path / "home").exists()


def test_a_stop_says_how_long_it_may_take_and_a_second_one_that_it_is_now(tmp_path: Path) -> None:
    system = Up(tmp_path / "home", free_port(), SHUTDOWN_GRACE_SECONDS="20")
    system.wait_for(READY)
    with system.client() as client:
        slow = client.post("/tasks", json={"type": "hello", "payload": {"seconds": 600}}).json()
        until(lambda: client.get(f"/tasks/{slow['id']}").json()["status"] == "running")
    system.process.send_signal(signal.SIGINT)
    assert "waiting up to 20 s" in system.wait_for("stopping: ")
    assert system.end(signal.SIGINT) == 0
    said = system.said[system.said.index(next(line for line in system.said if line.startswith("stopping: "))) :]
    assert [line for line in said if line.startswith("stop")][1].startswith("stopping now")
    assert said[-1] == "stopped"
