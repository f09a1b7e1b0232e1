"""What a centerpoint script may do: what its manifest declares, and no way around it."""

import ctypes
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_httpserver import HTTPServer

from handlers.centerpoint_sync.launch import CREATE_RULESET, VERSION
from tests.handlers.centerpoint_scripts import Scripts

KERNEL_CONFINES = sys.platform == "linux" and ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION) > 0


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    (tmp_path / "outside.txt").write_text("top secret")
    (tmp_path / "outside.ts").write_text("export const outside = 1; console.log('outside');")
    found = Scripts(tmp_path)
    found.write("export const inside = 2;", name="module")
    return found


@pytest.fixture
def server(httpserver: HTTPServer) -> HTTPServer:
    httpserver.expect_request("/").respond_with_data("reached")
    httpserver.expect_request("/m.ts").respond_with_data("export const remote: number = 3;", mimetype="text/typescript")
    return httpserver


def test_nothing_declared_is_nothing_allowed(scripts):
    tries = {
        "net": 'await fetch("http://127.0.0.1:81/")',
        "listen": "Deno.listen({port: 0})",
        "dns": 'await Deno.resolveDns("localhost", "A")',
        "env": 'Deno.env.get("PATH")',
        "all env": "Deno.env.toObject()",
        "read": 'Deno.readTextFileSync("/etc/hostname")',
        "own folder": "Deno.readTextFileSync(import.meta.filename!)",
        "environ": 'Deno.readTextFileSync("/proc/self/environ")',
        "node": '(await import("node:fs")).readFileSync("/etc/hostname")',
        "write": 'Deno.writeTextFileSync("/tmp/centerpoint-escape", "")',
        "link": 'Deno.symlinkSync("/etc", "/tmp/centerpoint-escape")',
        "run": 'new Deno.Command("/bin/sh").outputSync()',
        "node run": '(await import("node:child_process")).execSync("id")',
        "kill": 'Deno.kill(1, "SIGCONT")',
        "ffi": 'Deno.dlopen("libc.so.6", {})',
        "sys": "Deno.hostname()",
        "import": 'const place = "../outside.ts"; await import(place)',
        "remote": 'const place = "https://deno.land/x.ts"; await import(place)',
        "data": """const u = "data:text/javascript,import 'file:///etc/fstab' with {type: 'text'}"; await import(u)""",
        "fetch file": 'await fetch(new URL("../outside.txt", import.meta.url))',
        "prompt": 'if ((await Deno.permissions.request({name: "net"})).state !== "granted") throw new Error("denied")',
    }
    told = "".join(
        f"try {{ {code}; told[{name!r}] = 'ALLOWED' }} catch (error) {{ told[{name!r}] = `${{error}}` }}\n"
        for name, code in tries.items()
    )
    told = f"const told: Record<string, string> = {{}};\n{told}console.log(JSON.stringify(told))"
    answers = scripts.result(told)
    refused = ("Requires", "NotCapable", "denied", "no-remote")
    assert {name: answer for name, answer in answers.items() if not any(word in answer for word in refused)} == {}
    assert set(answers) == set(tries)
    assert not Path("/tmp/centerpoint-escape").exists()


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ('await fetch("http://example.com:81/")', 'net = ["example.com:81"]'),
        ('Deno.env.get("TOKEN")', 'env = ["TOKEN"]'),
        ('Deno.readTextFileSync("/etc/hostname")', 'read = ["/etc/hostname"]'),
        ('Deno.writeTextFileSync("/tmp/centerpoint-escape", "")', 'write = ["/tmp/centerpoint-escape"]'),
        ('import "https://example.com/x.ts"', 'import = ["example.com:443"]'),
        ('import "jsr:@std/path"', 'import = ["jsr.io"]'),
        ('new Deno.Command("/bin/sh").outputSync()', "needs run '/bin/sh', which no script gets"),
        ('Deno.dlopen("libc.so.6", {})', "needs ffi 'libc.so.6', which no script gets"),
        ('import "npm:left-pad"', "npm packages are never installed"),
    ],
)
def test_what_was_denied_is_named(scripts, source, needed):
    kind, message, retryable = scripts.failure(source)
    assert (kind, retryable) == ("PermissionDenied", False)
    assert needed in message


@pytest.mark.parametrize(
    "source",
    [
        'import t from "../outside.txt" with {type: "text"}; console.log(t)',
        'import { outside } from "../outside.ts"; console.log(outside)',
        'console.log((await import("../outside.ts")).outside)',
        'import t from "./link.txt" with {type: "text"}; console.log(t)',
        'import t from "file:///etc/hostname" with {type: "text"}; console.log(t)',
        'import "./module.cjs"',
    ],
)
def test_imports_do_not_leave_the_folder_either(scripts, source):
    (scripts.folder / "link.txt").symlink_to(scripts.folder.parent / "outside.txt")
    (scripts.folder / "module.cjs").write_text('console.log(require("../outside.ts"))')
    kind, message, _ = scripts.failure(source, '[permissions]\nread = ["."]')
    assert kind == "PermissionDenied"
    assert "outside of the folder" in message


def test_the_kernel_holds_what_deno_lets_through(scripts, tmp_path):
    """Without Landlock only what Deno refuses is promised: a path that is not declared."""
    outside = tmp_path / "outside.txt"
    places = {"version": 3, "sources": [outside.as_uri()], "names": [], "mappings": "AAAA"}
    inline = b64encode(orjson.dumps(places)).decode()
    scripts.write(f"throw new Error('boom')\n//# sourceMappingURL=data:application/json;base64,{inline}")
    run = scripts.run()
    assert "Error: boom" in run.error.message
    assert not KERNEL_CONFINES or "top secret" not in repr(run.logs)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "link.txt").symlink_to(outside)
    manifest = f"[permissions]\nread = ['{tmp_path}/linked']"
    if KERNEL_CONFINES:
        kind, message, _ = scripts.failure(f"Deno.readTextFileSync('{tmp_path}/linked/link.txt')", manifest)
        assert (kind, "Permission denied" in message) == ("ScriptFailed", True)
    assert scripts.failure(f"Deno.readTextFileSync('{outside}')", manifest)[0] == "PermissionDenied"


def test_what_is_declared_works_and_nothing_beside_it(scripts, server, tmp_path):
    (scripts.folder / "data").mkdir()
    (scripts.folder / "data" / "in.txt").write_text("read")
    (tmp_path / "out").mkdir()
    here, out = f"localhost:{server.port}", tmp_path / "out"
    scripts.config.update(TOKEN="t0ken", OTHER="other")
    manifest = f"""
        [permissions]
        net = ["{here}"]
        env = ["TOKEN"]
        read = ["data"]
        write = ["{out}"]
    """
    source = f"""
        import {{ inside }} from "./module.ts";
        const refused = async (act: () => unknown) => {{ try {{ await act() }} catch {{ return true }} }};
        Deno.writeTextFileSync("{out}/written.txt", "by the script");
        console.log(JSON.stringify([
            inside, await (await fetch("http://{here}/")).text(), Deno.env.get("TOKEN")!.length,
            Deno.readTextFileSync("data/in.txt"),
            await refused(() => fetch("http://127.0.0.1:{server.port}/")), await refused(() => Deno.env.get("OTHER")),
            await refused(() => Deno.readTextFileSync("script.ts")),
            await refused(() => Deno.writeTextFileSync("{tmp_path}/beside.txt", "")),
        ]))
    """
    assert scripts.result(source, manifest) == [2, "reached", 5, "read", True, True, True, True]
    assert (out / "written.txt").read_text() == "by the script"


def test_remote_modules_come_from_declared_hosts_alone(scripts, server):
    here = f"localhost:{server.port}"
    source = f'import {{ remote }} from "http://{here}/m.ts"; console.log(remote)'
    assert scripts.result(source, f'[permissions]\nimport = ["{here}"]') == 3
    kind, message, _ = scripts.failure(source, '[permissions]\nimport = ["deno.land"]')
    assert (kind, here in message) == ("PermissionDenied", True)


def test_a_payload_narrows_and_never_widens(scripts):
    manifest = '[permissions]\nnet = ["a.example", "b.example:80"]\nread = ["/etc"]'
    source = "const has = async (name: string, on: object) => (await Deno.permissions.query({name, ...on})).state;\n"
    source += """console.log(JSON.stringify([await has("net", {host: "a.example"}),
        await has("net", {host: "b.example:80"}), await has("read", {path: "/etc"})]))"""
    assert scripts.result(source, manifest) == ["granted", "granted", "granted"]
    narrowed: dict[str, Any] = {"permissions": {"net": ["b.example:80"], "read": []}}
    assert scripts.result(source, manifest, payload=narrowed) == ["prompt", "granted", "prompt"]
    for kind, entry in (
        ("net", "b.example"),
        ("env", "TOKEN"),
        ("read", "/"),
        ("write", "/srv"),
        ("import", "c.example"),
    ):
        run = scripts.run({"permissions": {kind: [entry]}})
        assert run.error.type == "PermissionDenied"
        assert f"the payload asks for {kind} {entry!r}" in run.error.message


def test_the_configuration_of_the_worker_bounds_every_manifest(scripts):
    manifest = '[permissions]\nnet = ["a.example"]\nread = ["."]'
    scripts.config.update(CENTERPOINT_NET="b.example, a.example", CENTERPOINT_READ=str(scripts.folder))
    assert scripts.result("console.log(1)", manifest) == 1
    scripts.config.update(CENTERPOINT_NET="b.example")
    assert scripts.failure("console.log(1)", manifest)[1] == (
        "script.toml declares net 'a.example', which CENTERPOINT_NET of the worker does not list"
    )


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("memory_mb = 1", "memory_mb: Input should be greater than or equal to 32"),
        ("[permissions]\nrun = ['id']", "permissions.run: Extra inputs are not permitted"),
        ("[permissions]\nnet = ['*']", "'*' is not a host"),
        ("[permissions]\nnet = ['a,b']", "'a,b' is not a host"),
        ("[permissions]\nnet = ['']", "'' is not a host"),
        ("[permissions]\nnet = ['unix:/var/run/docker.sock']", "is not a host"),
        ("[permissions]\nenv = ['AWS_*']", "'AWS_*' is not the name of a variable"),
        ("[permissions]\nenv = ['DATABASE_URL']", "'DATABASE_URL' is never handed to a script"),
        ("[permissions]\nenv = ['AUREA_API_TOKEN']", "is never handed to a script"),
        ("[permissions]\nenv = ['LD_PRELOAD']", "is never handed to a script"),
        ("[permissions]\nread = ['a,/']", "is not a path"),
        ("shown_env = ['TOKEN']", "shown_env names TOKEN, which permissions.env does not"),
        ("net =", "script.toml cannot be read: Invalid value"),
        ("[permissions]\nwrite = ['.']", "would let the script change scripts and manifests"),
        ("[permissions]\nwrite = ['out']", "would let the script change scripts and manifests"),
        ("[permissions]\nwrite = ['/']", "would let the script change scripts and manifests"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(scripts, manifest, complaint):
    kind, message, retryable = scripts.failure("console.log(1)", manifest)
    assert (kind in ("BadScript", "PermissionDenied"), retryable) == (True, False)
    assert complaint in message
