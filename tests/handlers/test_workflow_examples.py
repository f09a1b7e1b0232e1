"""The workflows in examples/ do what they say, on children that answer as the real handlers do."""

from pathlib import Path
from typing import Any

import pytest

from handlers.aurea_action import aurea_action
from orchestrator.testing import TaskRun, run_task

EXAMPLES = Path(__file__).parents[2] / "examples"
RELEASE = {"service": "srv-1", "repository": "octo/shop", "chat": "https://chat.example.com/", "pages": ["https://p/1"]}


def play(name: str, inputs: dict[str, Any], **children: Any) -> TaskRun:
    return run_task(aurea_action, {"workflow": (EXAMPLES / name).read_text(), "inputs": inputs}, children=children)


def deploy(payload: dict[str, Any]) -> Any:
    return {"deployment": {"id": payload.get("action", "deploy")}}


def write(payload: dict[str, Any]) -> Any:
    return {"text": "Notes: " + str(payload.get("prompt") or payload["variables"]["text"]), "cost_usd": 0.01}


def http(*broken: str) -> Any:
    def call(payload: dict[str, Any]) -> Any:
        if payload["url"] in broken:
            raise ConnectionError(f"{payload['url']} answered 500")
        if "api.github.com" in payload["url"]:
            return {"status": 200, "json": [{"commit": {"message": "Faster"}}, {"commit": {"message": "Safer"}}]}
        return {"status": 200, "text": f"text of {payload['url']}"}

    return call


def told(run: TaskRun) -> str:
    return str(next(each.payload["json"]["text"] for each in run.submitted if each.payload.get("method") == "POST"))


def test_a_release_that_goes_well() -> None:
    run = play("release.yaml", RELEASE, http_request=http(), mrg_deploy=deploy, gen_content=write)
    assert run.result["outputs"] == {"deployment": {"id": "deploy"}, "notes": "Notes: Faster\nSafer"}
    assert told(run) == "octo/shop is live. Notes: Faster\nSafer"
    assert run.result["steps"]["roll_back"] == "skipped"


def test_a_release_whose_page_is_broken_is_rolled_back_and_told() -> None:
    run = play("release.yaml", RELEASE, http_request=http("https://p/1"), mrg_deploy=deploy, gen_content=write)
    assert run.error is not None
    assert run.error.message == "1 of 6 steps failed; Look at the pages: https://p/1 answered 500"
    assert [each.payload.get("action") for each in run.submitted if each.type == "mrg_deploy"] == [None, "rollback"]
    assert told(run).startswith("octo/shop was rolled back: https://p/1 answered 500")


@pytest.mark.parametrize("notes", [write, ValueError("no key")])
def test_a_release_that_does_not_deploy_is_told_and_rolls_nothing_back(notes: Any) -> None:
    run = play("release.yaml", RELEASE, http_request=http(), mrg_deploy=ValueError("build failed"), gen_content=notes)
    assert run.error is not None
    assert [each.type for each in run.submitted].count("mrg_deploy") == 1
    assert told(run).startswith("octo/shop was not released: build failed")


def test_a_digest_leaves_out_what_cannot_be_read_and_adds_up_its_cost() -> None:
    pages = {"urls": ["https://a/", "https://b/", "https://c/"]}
    run = play("digest.yaml", pages, http_request=http("https://b/"), gen_content=write)
    assert run.result["steps"] == {
        "fetch": "failed",
        "summarise": "succeeded",
        "write": "succeeded",
        "propose": "skipped",
    }
    assert "text of https://c/" in run.result["outputs"]["digest"]
    assert run.result["outputs"]["cost_usd"] == pytest.approx(0.03)
    nothing = play("digest.yaml", {"urls": []}, http_request=http(), gen_content=write)
    assert nothing.result["outputs"] == {"digest": "", "pull_request": None, "cost_usd": 0}


def test_a_digest_becomes_a_pull_request() -> None:
    inputs = {"urls": ["https://a/"], "repository": "octo/digests"}
    run = play("digest.yaml", inputs, http_request=http(), gen_content=write, code_pr={"number": 7})
    assert run.result["outputs"]["pull_request"] == {"number": 7}
    assert "text of https://a/" in run.submitted[-1].payload["instruction"]
