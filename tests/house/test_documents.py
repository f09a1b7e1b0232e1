"""The documents keep step with the repository: their links lead somewhere, their examples run."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.core import TyperGroup

from app.cli.groups import ListingGroup
from app.cli.main import find_verbs
from orchestrator.sdk import Handler
from orchestrator.settings import ClientSettings, Settings
from orchestrator.telemetry.metrics import METRICS
from orchestrator.testing import run_task

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r"(?:^|[\s=`(/])aurea ([a-z][^`#|;&)\n]*)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def _code(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings(page: Path) -> None:
    found = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    assert [f"{to}#{name}" for to, name in found if name not in _headings(page.parent / to if to else page)] == []


def _headings(page: Path) -> set[str]:
    """The names under which GitHub shows the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_found() -> None:
    linked = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert [str(page) for page in PAGES if "docs" in page.parts and page not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one_that_there_is(page: Path) -> None:
    code = re.findall(r"```(?:sh)?\n.*?```|`[^`\n]+`", page.read_text(), re.DOTALL)
    commands = [found.split() for text in code for found in COMMAND.findall(text)]
    assert [" ".join(words) for words in commands if words[0] != "test" and not _is_command(words)] == []


def _is_command(words: list[str]) -> bool:
    """Whether the command line has this verb, with these options."""
    verb, *rest = words
    if verb not in find_verbs():
        return False
    command = find_verbs()[verb].load()
    if isinstance(command, ListingGroup) and not (rest and rest[0][0].isalpha()):
        rest = [command.first, *rest]
    if isinstance(command, TyperGroup) and rest:
        name, *rest = rest
        if name not in command.commands:
            return False
        command = command.commands[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {word.partition("=")[0] for word in rest if word.startswith("--")} <= {*options, "--help"}


def test_the_handler_of_the_readme_is_the_one_in_examples() -> None:
    shown = _code("README.md", "python")[0].partition("\n")[2]
    assert shown.strip() in (ROOT / "examples" / "shout.py").read_text()


def test_the_handler_and_the_test_of_the_guide_run() -> None:
    resize = ModuleType("resize")
    blocks = _code("docs/handlers.md", "python")
    exec(blocks[0], vars(resize))
    assert isinstance(resize.resize, Handler)
    shown = next(block for block in blocks if "run_task(" in block)
    test: dict[str, object] = {"run_task": run_task, "resize": resize.resize}
    exec(re.sub(r"^from .*$", "", shown, flags=re.MULTILINE), test)
    next(value for name, value in test.items() if name.startswith("test_"))()  # type: ignore[operator]


def test_the_receiver_of_the_guide_verifies_the_published_vector() -> None:
    """Of github.com/standard-webhooks/standard-webhooks, libraries/python/tests/test_webhooks.py."""
    receiver = ModuleType("receiver")
    exec(_code("docs/webhooks-out.md", "python")[0], vars(receiver))
    secret, body, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}', 1614265330
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(now),
        "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    wrong = {**headers, "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="}
    assert receiver.verify(secret, headers, body, now + 300)
    assert not receiver.verify(secret, wrong, body, now)
    assert not receiver.verify(secret, headers, body + b" ", now)
    assert not receiver.verify(secret, headers, body, now + 301)
    assert not receiver.verify(secret, headers, body, now - 301)


def test_the_rules_of_the_guide_are_among_the_examples() -> None:
    assert _code("docs/webhooks.md", "toml")[0].split("\n\n")[0] in (ROOT / "examples" / "webhooks.toml").read_text()


def test_the_runbook_names_only_metrics_and_variables_that_exist() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    assert set(re.findall(r"\baurea_[a-z_]+", text)) <= {metric.name for metric in METRICS}
    known = {name.upper() for name in Settings.model_fields} | {
        f"AUREA_{name.upper()}" for name in ClientSettings.model_fields
    }
    assert set(re.findall(r"\b(?:AUREA|TASK|MAX|SHUTDOWN|PRIORITY)_[A-Z_]+\b", text)) <= known
