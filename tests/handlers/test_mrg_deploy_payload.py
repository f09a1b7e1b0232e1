"""What mrg_deploy takes, and what it refuses before a task exists."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from handlers.mrg_deploy import mrg_deploy, placeholders
from orchestrator.domain.errors import InvalidInput
from tests.fakes.render import SERVICE

NEW = "a1b2c3d4e5" * 4


@pytest.mark.parametrize(
    ("payload", "pointer", "says"),
    [
        ({"service": "a/../b"}, "/payload/service", "should match pattern"),
        ({"commit": "main"}, "/payload/commit", "should match pattern"),
        ({"image": "x:1"}, "/payload", "of a commit or of an image"),
        ({"ref": "main"}, "/payload", "Render deploys a commit or an image"),
        ({"provider": "hook"}, "/payload", '"hook" says how'),
        ({"action": "rollback"}, "/payload", "commit is for the action deploy"),
        ({"health_url": "ftp://x/"}, "/payload/health_url", "http:// or https://"),
        ({"health_url": "http://u:p@x/"}, "/payload/health_url", "holds no password"),
        ({"wait": True}, "/payload/wait", "not permitted"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_when_it_is_submitted(
    payload: dict[str, Any], pointer: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        mrg_deploy.validate({"service": SERVICE, "commit": NEW, **payload})
    assert refused.value.issues[0].pointer == pointer
    assert says in refused.value.issues[0].detail


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ({"trigger": {"url": "deploy.example.com/x"}}, "should match pattern '^(https"),
        ({"trigger": {"url": "https://x/{branch}"}}, "trigger names {branch}; known are clear_cache, commit"),
        ({"trigger": {"url": "https://x/{secrets.token}"}}, "trigger names {secrets.token}"),
        ({"trigger": {"url": "https://x", "headers": {"X-Api-Key": "k"}}}, "X-Api-Key carries a secret"),
        ({"trigger": {"url": "https://x", "headers": {"Host": "y"}}}, "Host is set by the client itself"),
        ({"secrets": {"token": "ANTHROPIC_API_KEY"}}, "should match pattern '^DEPLOY_HOOK_"),
        ({"secrets": {"token": "DEPLOY_HOOK_HOSTS"}}, "is no secret"),
        ({"status": {"url": "https://x", "state": "state"}}, "should match pattern"),
        ({"status": {"url": "https://x", "state": "/s", "failed": ["LIVE"]}}, "a word has one meaning"),
    ],
)
def test_a_hook_that_cannot_work_is_refused_when_it_is_submitted(hook: dict[str, Any], says: str) -> None:
    good = {"trigger": {"url": "https://x", "id": "/id"}, "status": {"url": "https://x", "state": "/state"}}
    with pytest.raises(InvalidInput) as refused:
        mrg_deploy.validate({"provider": "hook", "service": "web", "hook": {**good, **hook}})
    assert says in refused.value.issues[0].detail


def test_names_are_filled_in_and_other_braces_are_left_alone() -> None:
    values = {"commit": "a/b c", "clear_cache": False, "secrets.t": "s/1", "ref": None}
    assert placeholders.fill({"a": ["{clear_cache}", "x{ref}", "{ref}", {"b": "{ {commit} }"}, 7]}, values) == {
        "a": [False, "x", None, {"b": "{ a/b c }"}, 7]
    }
    assert placeholders.fill_url("https://x/{commit}?k={secrets.t}&c={clear_cache}", values) == (
        "https://x/a%2Fb%20c?k=s/1&c=false"
    )


def test_the_examples_of_its_page_fit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "handlers" / "mrg_deploy.md").read_text()
    examples = re.findall(r"--payload '(.*?)'|```json\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 3
    for inline, block in examples:
        mrg_deploy.validate(orjson.loads(inline or block))
