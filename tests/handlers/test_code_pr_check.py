"""The check of code_pr: a command that runs the model's files, within bounds, and tells no secret."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from handlers.code_pr.check import run_check
from handlers.code_pr.workspace import File
from orchestrator.sdk import Config
from tests.handlers.coder import EDIT, FINISH, Scene, open_scene, use

CHECK = ["sh", "check.sh"]
POLITE = "grep -q goodbye src/app.py && echo polite || { echo rude; exit 3; }\n"
FILES = {"src/app.py": "print('hello')\n", "check.sh": POLITE}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as scene:
        scene.github.add("acme/app", dict(FILES))
        yield scene


def allowed(scene: Scene, **more: str) -> dict[str, str]:
    return {**scene.github.config, "AUREA_CODE_CHECKS": "true", "PATH": os.environ["PATH"], **more}


async def run(script: str, config: dict[str, str] | None = None, **limits: Any) -> dict[str, Any]:
    files = {"check.sh": File("100755", script.encode()), "deep/er/f": File("100644", b"x")}
    bounds = {"timeout_seconds": 20.0, "memory_mb": 256, **limits}
    return await run_check(files, ["./check.sh"], Config(config or {}), **bounds)


async def test_a_check_is_refused_until_the_operator_allows_it(scene: Scene) -> None:
    said = await scene.failure(check=CHECK)
    assert said.startswith("set AUREA_CODE_CHECKS=true in the environment of the worker")
    assert scene.github.calls == []


async def test_a_check_that_passes_is_reported(scene: Scene) -> None:
    run = await scene.run(EDIT, use("run_check"), FINISH, check=CHECK, config=allowed(scene))
    assert run.requests[2].messages[-1].tool_results[0].text == "The check `sh check.sh` passed.\n\npolite"
    assert run.result["check"] == {"exit_code": 0, "output": "polite"}
    assert "run_check" in [tool.name for tool in run.requests[0].tools]
    assert [name for name in run.steps if name.startswith("check")] == ["check 1"]
    (pull,) = scene.github.repositories["acme/app"].pulls
    assert "The check `sh check.sh` passed." in pull["body"]


async def test_done_runs_the_check_and_a_failure_goes_back_to_the_model_once(scene: Scene) -> None:
    rude = use("edit_file", path="src/app.py", old="hello", new="hey")
    polite = use("edit_file", path="src/app.py", old="hey", new="goodbye")
    run = await scene.run(rude, FINISH, polite, FINISH, check=CHECK, config=allowed(scene))
    answer = run.requests[2].messages[-1].tool_results[0]
    assert answer.is_error
    assert answer.text.startswith("The check `sh check.sh` failed with exit code 3.\n\nrude\n\nMend it.")
    assert run.result["check"]["exit_code"] == 0


async def test_a_failure_that_the_model_insists_on_stands_in_the_pull_request(scene: Scene) -> None:
    rude = use("edit_file", path="src/app.py", old="hello", new="hey")
    run = await scene.run(rude, FINISH, use("read_file", path="check.sh"), FINISH, check=CHECK, config=allowed(scene))
    assert run.result["check"] == {"exit_code": 3, "output": "rude"}
    (pull,) = scene.github.repositories["acme/app"].pulls
    assert "The check `sh check.sh` failed with exit code 3." in pull["body"]


async def test_a_check_runs_on_the_whole_repository_whatever_the_model_may_read(scene: Scene) -> None:
    run = await scene.run(EDIT, FINISH, check=CHECK, paths=["src/**"], config=allowed(scene))
    assert run.result["check"]["exit_code"] == 0


async def test_a_finished_check_is_not_run_again_after_a_crash(scene: Scene, tmp_path: Path) -> None:
    scene.github.add("acme/app", {**FILES, "check.sh": f"echo x >> {tmp_path}/runs\n{POLITE}"})
    behind_it = 10  # after those of start, turn 1, turn 1 used, turn 2 and the one before it is kept
    turns = EDIT, use("run_check"), FINISH
    run = await scene.start(*turns, check=CHECK, config=allowed(scene), kill_at=behind_it)
    assert run.result["check"]["exit_code"] == 0
    assert (tmp_path / "runs").read_text() == "x\n"


async def test_it_runs_in_a_folder_of_its_own_without_anything_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "canary-in-the-environment")
    found = await run("env | sort; pwd; ls -R; cat; touch left-over")
    assert found["exit_code"] == 0
    names = {line.partition("=")[0] for line in found["output"].splitlines() if "=" in line}
    assert names <= {"CI", "HOME", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "_"}
    assert "canary" not in found["output"]
    assert "deep/er" in found["output"]
    assert "aurea-check" not in found["output"].partition("PWD")[2].partition("\n")[0]


async def test_a_secret_of_the_worker_in_the_output_is_hidden() -> None:
    found = await run("echo canary-5fQ2x9-key canary-5fQ2x9-other", {"ANTHROPIC_API_KEY": "canary-5fQ2x9-key",
                                                                     "AUREA_HOME": "canary-5fQ2x9-other"})  # fmt: skip
    assert found["output"] == "[redacted] canary-5fQ2x9-other"


async def test_time_is_bounded_and_nothing_of_its_group_is_left(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/pid; echo before; sleep 600"
    found = await run(script, timeout_seconds=0.2)
    assert found == {"exit_code": None, "output": "before"}
    await gone(int((tmp_path / "pid").read_text()))


async def test_what_a_check_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    found = await run(f"sleep 600 & echo $! > {tmp_path}/pid; echo done")
    assert found == {"exit_code": 0, "output": "done"}
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_check_is_ended(tmp_path: Path) -> None:
    running = asyncio.create_task(run(f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 600"))
    await until(lambda: (tmp_path / "pid").exists())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_worker_that_is_killed_takes_its_check_along(tmp_path: Path) -> None:
    code = f"""if True:
        import asyncio
        from handlers.code_pr.check import run_check
        from orchestrator.sdk import Config
        command = ["sh", "-c", "sleep 600 & echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait"]
        asyncio.run(run_check({{}}, command, Config({{}}), timeout_seconds=60, memory_mb=256))
    """
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    await until(lambda: (tmp_path / "pid").exists())
    worker.kill()
    await worker.wait()
    await gone(int((tmp_path / "pid").read_text()))


async def test_memory_is_bounded() -> None:
    found = await run("python3 -c 'x = bytearray(200 * 2**20); print(len(x))'", {"PATH": os.environ["PATH"]},
                      memory_mb=100)  # fmt: skip
    assert found["exit_code"] == 1
    assert "MemoryError" in found["output"]


async def test_output_keeps_its_beginning_and_its_end() -> None:
    found = await run("echo first; head -c 300000 /dev/zero | tr '\\0' x; printf '\\000\\377'; echo; echo last")
    assert found["output"].startswith("first\nxxx")
    assert found["output"].endswith("\ufffd\ufffd\nlast")
    assert "bytes left out ..." in found["output"]
    assert len(found["output"]) < 17_000


async def test_a_command_that_does_not_exist_is_a_failed_check() -> None:
    found = await run_check({}, ["no-such-command"], Config({}), timeout_seconds=5, memory_mb=256)
    assert found["exit_code"] == 127
    assert "no-such-command" in found["output"]


async def gone(process: int) -> None:
    """Wait until the process has ended; a zombie that nobody waits for has."""
    stat = Path(f"/proc/{process}/stat")
    await until(lambda: not stat.exists() or stat.read_text().split()[2] == "Z")


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not seen():  # noqa: ASYNC110 - another process does not set our events
            await asyncio.sleep(0.005)
