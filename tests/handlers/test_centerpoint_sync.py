"""centerpoint_sync: the example against its services, and each way in which a script can talk and end."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from examples.centerpoint.services import CRM_PORT, WAREHOUSE_PORT, Crm, Warehouse
from handlers.centerpoint_sync import centerpoint_sync
from handlers.centerpoint_sync.engine import find_engine
from handlers.centerpoint_sync.handler import _prepare
from orchestrator.domain.errors import InvalidInput
from orchestrator.sdk import Config, Terminal
from orchestrator.testing import Logged, Progress, run_task
from tests.handlers.centerpoint_scripts import Scripts

EXAMPLE = Path(__file__).parents[2] / "examples" / "centerpoint" / "scripts"


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Any]:
    """The example in a folder, its services on free ports, and a way to run it."""
    crm, warehouse = Crm(customers=3), Warehouse()
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / "customers.toml"
    ports = {f":{CRM_PORT}": crm.host, f":{WAREHOUSE_PORT}": warehouse.host}
    text = manifest.read_text()
    for port, host in ports.items():
        text = text.replace(f"127.0.0.1{port}", host)
    manifest.write_text(text)
    config = {
        "CENTERPOINT_SCRIPTS": str(tmp_path),
        "CRM_URL": f"http://{crm.host}",
        "CRM_TOKEN": crm.token,
        "WAREHOUSE_URL": f"http://{warehouse.host}",
        "WAREHOUSE_TOKEN": warehouse.token,
    }

    def run(**options: Any) -> Any:
        payload = {"script": "customers.ts", "input": {"page_size": 2}}
        return run_task(centerpoint_sync, payload, **{"config": config, **options})

    for service in (crm, warehouse):
        service.start()
    yield SimpleNamespace(crm=crm, warehouse=warehouse, run=run, config=config)
    for service in (crm, warehouse):
        service.stop()


def test_the_example_stores_every_customer_once(example):
    run = example.run()
    assert run.error is None
    assert run.result == {"stored": 3}
    assert [example.warehouse.stored[each["id"]] for each in example.crm.customers] == example.crm.customers
    assert set(example.warehouse.writes.values()) == {1}
    assert run.progress[-1] == Progress(1.0, "3 of 3 customers")
    assert run.steps == {
        "checkpoint 1": {"next": "c00002", "stored": 2},
        "checkpoint 2": {"next": None, "stored": 3},
        "result": {"stored": 3},
    }


def test_interrupted_in_the_middle_it_goes_on_from_its_checkpoint(example):
    example.crm.broken = [None, 503]
    first = example.run()
    assert (first.error.type, first.error.retryable, first.retry_after_seconds) == ("Retry", True, 7)
    assert first.error.message == "GET /customers answered 503"
    assert list(first.steps) == ["checkpoint 1"]
    second = example.run(attempt=2, steps=first.steps)
    assert second.result == {"stored": 3}
    assert Logged("goes on", {"after": "c00002", "stored": 2, "level": "info"}) in second.logs
    assert set(example.warehouse.writes.values()) == {1}
    assert len([path for _, path in example.crm.requests if "after=&" in path]) == 1


def test_killed_at_any_boundary_it_ends_with_every_customer_stored_once(example):
    boundaries = example.run().boundaries
    assert boundaries == 6
    for boundary in range(1, boundaries + 1):
        example.warehouse.stored.clear()
        example.warehouse.writes.clear()
        run = example.run(kill_at=boundary)
        assert run.result == {"stored": 3}
        assert sorted(example.warehouse.stored) == [customer["id"] for customer in example.crm.customers]
        assert sum(example.warehouse.writes.values()) <= 3 + 2  # at most the page whose checkpoint was not kept


def test_a_kept_result_is_not_worked_out_again(example):
    first = example.run()
    asked = len(example.crm.requests)
    assert example.run(steps=first.steps).result == {"stored": 3}
    assert len(example.crm.requests) == asked


def test_a_wrong_key_is_final(example):
    example.crm.token = "another"
    run = example.run()
    assert (run.error.type, run.error.message, run.error.retryable) == (
        "Terminal",
        "GET /customers answered 401",
        False,
    )


def test_what_is_not_configured_is_named(example):
    for name in ("CENTERPOINT_SCRIPTS", "CRM_TOKEN"):
        run = example.run(config={key: value for key, value in example.config.items() if key != name})
        assert (run.error.type, run.error.retryable) == ("Terminal", False)
        assert f"set {name} " in run.error.message
    assert example.crm.requests == []


def test_lines_are_logged_as_they_come_and_the_last_json_is_the_result(scripts):
    scripts.write(
        'console.log("one"); console.log("[1]"); console.error("two"); console.log({a: 1});\nconsole.log("{}")'
    )
    run = scripts.run()
    said = {(line.text, line.fields["stream"], line.fields["level"]) for line in run.logs[1:]}
    expected = {(text, "stdout", "info") for text in ("one", "[1]", "{ a: 1 }", "{}")}
    assert said == {*expected, ("two", "stderr", "warning")}
    assert run.result == {}
    assert scripts.result('console.log("no json")') is None
    assert scripts.result('console.log("42"); console.log("the end")') == 42


def test_lines_of_the_protocol_become_events(scripts):
    lines = [
        {"type": "log", "text": "hello", "level": "debug", "fields": {"n": 1}},
        {"type": "progress", "fraction": 0.5, "text": "half"},
        {"type": "result", "value": {"first": True}},
        {"type": "result", "value": [1, None]},
        {"another": "object"},
    ]
    scripts.write("\n".join(f"console.log({orjson.dumps(orjson.dumps(line).decode()).decode()});" for line in lines))
    run = scripts.run()
    assert run.result == [1, None]
    assert Logged("hello", {"n": 1, "level": "debug"}) in run.logs
    assert run.progress == [Progress(0.5, "half")]
    assert [line.text for line in run.logs[2:]] == ['{"another":"object"}']


def test_a_script_gets_its_input_and_is_told_when_a_checkpoint_is_kept(scripts):
    source = """
        const decoder = new TextDecoder(), buffer = new Uint8Array(1e6);
        const hear = async () => JSON.parse(decoder.decode(buffer.subarray(0, (await Deno.stdin.read(buffer))!)));
        const start = await hear();
        console.log(JSON.stringify({type: "checkpoint", state: {at: 7}}));
        console.log(JSON.stringify({type: "result", value: {start, kept: await hear()}}));
    """
    scripts.write(source)
    run = scripts.run({"input": {"since": "yesterday"}}, attempt=2, steps={"checkpoint 1": {"at": 6}})
    start = run.result["start"]
    assert len(start.pop("task_id")) == 36
    assert start == {"type": "start", "attempt": 2, "input": {"since": "yesterday"}, "checkpoint": {"at": 6}}
    assert run.result["kept"] == {"type": "kept", "number": 1}
    assert run.steps["checkpoint 2"] == {"at": 7}


def test_a_large_input_that_nobody_reads_stops_nothing(scripts):
    assert scripts.result("console.log(1)", payload={"input": "x" * 500_000}) == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"type": "checkpoint"}', "line 1 is no checkpoint: state: Field required"),
        ('{"type": "result", "val": 1}', "line 1 is no result: value: Field required"),
        ('{"type": "failure", "message": 3}', "line 1 is no failure: message: Input should be a valid string"),
        ('{"type": "checkpoint", "state": "' + "x" * 16_400 + '"}', "at most 16384 are kept"),
    ],
)
def test_a_line_that_the_outcome_hangs_on_has_to_be_right(scripts, line, complaint):
    kind, message, retryable = scripts.failure(
        f"console.log({orjson.dumps(line).decode()}); await new Promise(() => 1)"
    )
    assert (kind, retryable) == ("ProtocolBroken", False)
    assert complaint in message


def test_a_line_that_was_only_to_be_told_may_be_wrong(scripts):
    scripts.write("""console.log('{"type": "progress", "fraction": 7}'); console.log("[3]")""")
    run = scripts.run()
    assert run.result == [3]
    assert "line 1 is no progress: fraction: Input should be less than or equal to 1" in [log.text for log in run.logs]


def test_garbage_is_only_output(scripts):
    source = """
        Deno.stdout.writeSync(new Uint8Array([0, 255, 254, 123, 34, 10, 123, 10]));
        for (let left = 3e6; left > 0;) left -= Deno.stdout.writeSync(new Uint8Array(left).fill(120));
        console.log("\\n" + JSON.stringify({type: ["log"], ok: true}));
    """
    scripts.write(source)
    run = scripts.run()
    assert run.result == {"type": ["log"], "ok": True}
    assert [line.text[:3] for line in run.logs[1:]] == ["\ufffd\ufffd\ufffd", "{", "xxx", '{"t']
    assert max(len(line.text) for line in run.logs) < 5_000


def test_ten_thousand_lines_are_read_and_a_thousand_told(scripts):
    scripts.write('const line = "x".repeat(9) + "\\n"; for (let n = 0; n < 10; n++) console.log(line.repeat(1000))')
    run = scripts.run()
    assert run.result is None
    assert len(run.logs) == 1002
    assert run.logs[-1].text == "said 1000 lines: the rest is dropped"


def test_progress_is_bounded(scripts):
    scripts.write('for (let n = 1; n <= 5000; n++) console.log(JSON.stringify({type: "progress", fraction: n / 5000}))')
    progress = scripts.run().progress
    assert 1_000 < len(progress) < 1_100
    assert progress[-1].fraction > 0.98


@pytest.mark.parametrize(
    ("source", "kind", "retryable", "message"),
    [
        ("Deno.exit(3)", "ScriptFailed", True, "script.ts left with exit code 3"),
        ("throw new Error('boom')", "ScriptFailed", True, "exit code 1: Uncaught (in promise) Error: boom"),
        ("await new Promise(() => 1)", "ScriptFailed", True, "Top-level await promise never resolved"),
        ("const x = ;", "BadScript", False, "script.ts does not load: SyntaxError"),
        ("import './nothing.ts'", "BadScript", False, "Module not found"),
    ],
)
def test_a_script_that_fails_says_why(scripts, source, kind, retryable, message):
    found = scripts.failure(source)
    assert (found[0], found[2]) == (kind, retryable)
    assert message in found[1]


def test_what_is_planned_does_not_show_the_variables(scripts):
    scripts.config.update(TOKEN="canary-of-the-plan")
    scripts.write("", '[permissions]\nenv = ["TOKEN"]')
    plan = _prepare(centerpoint_sync.validate({"script": "script.ts"}), Config(scripts.config))
    assert plan.environment("/tmp")["TOKEN"] == "canary-of-the-plan"
    assert "canary" not in repr(plan)


def test_secrets_appear_nowhere(scripts):
    secret = 'canary "7" ä/ö\nsecond-line-of-it'
    source = """
        const secret = Deno.env.get("TOKEN")!, say = (line: unknown) => console.log(JSON.stringify(line));
        console.log(secret); console.error(secret); console.log("https://x/?t=" + encodeURIComponent(secret));
        say({type: "log", text: secret, fields: {[secret]: secret}});
        say({type: "progress", fraction: 1, text: secret});
        say({found: secret}); say({type: "log", text: Deno.env.get("PLAIN"), level: Deno.env.get("PIN")});
        console.log('{"type": "log", "text": "\\\\u0063anary \\\\u00227\\\\u0022 ä/ö\\\\nsecond-line-of-it"}');
        say({type: "result", value: [secret, 8642, Deno.env.get("PLAIN")]});
        if (Deno.env.get("PLAIN") === "fail") throw new Error(secret);
        if (Deno.env.get("PLAIN") === "keep") say({type: "checkpoint", state: {secret}});
    """
    manifest = 'shown_env = ["PLAIN"]\n[permissions]\nenv = ["TOKEN", "PIN", "PLAIN"]'
    scripts.write(source, manifest)
    for plain, kind in {"shown": None, "fail": "ScriptFailed", "keep": "ProtocolBroken"}.items():
        scripts.config.update(TOKEN=secret, PIN="8642", PLAIN=plain)
        run = scripts.run()
        told = repr([run.logs, run.progress, run.result, run.error, run.steps])
        assert (run.error and run.error.type) == kind
        for part in ("canary", "second-line", "8642"):
            assert part not in told
        assert "https://x/?t=[redacted]" in told
        if kind is None:
            assert run.result == ["[redacted]", "[redacted]", "shown"]
    assert scripts.result('console.log(JSON.stringify({pin: Deno.env.get("PIN")}))', manifest) == {"pin": "[redacted]"}


@pytest.mark.parametrize("name", ["../x.ts", "/etc/x.ts", "a/../x.ts", ".x.ts", "x.js", "x.ts\n", "", "a//x.ts"])
def test_names_that_could_leave_the_folder_are_refused_at_once(name):
    with pytest.raises(InvalidInput):
        centerpoint_sync.validate({"script": name})


def test_only_files_inside_the_folder_are_scripts(scripts, tmp_path):
    (tmp_path / "outside.ts").write_text("console.log(1)")
    (scripts.folder / "script.ts").symlink_to(tmp_path / "outside.ts")
    assert scripts.run().error.message == "script.ts leads out of the folder CENTERPOINT_SCRIPTS"
    assert "there is no script 'none.ts'" in scripts.run({"script": "none.ts"}).error.message
    (scripts.folder / "inside").mkdir()
    scripts.write("console.log(2)", name="inside/two")
    assert scripts.run({"script": "inside/two.ts"}).result == 2


def test_without_an_engine_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "deno", None)
    with pytest.raises(Terminal, match="install the extra `ts`"):
        find_engine(Config({}))
    for version, usable in {"v20.20.2": False, "v22.17.9": False, "v22.18.0": True, "v24.1.0": True}.items():
        node = tmp_path / "node"
        node.write_text(f"#!/bin/sh\necho {version}\n")
        node.chmod(0o755)
        if usable:
            assert find_engine(Config({"PATH": str(tmp_path)})).kind == "node"
        else:
            with pytest.raises(Terminal, match=r"node 22\.18 or newer"):
                find_engine(Config({"PATH": str(tmp_path)}))
