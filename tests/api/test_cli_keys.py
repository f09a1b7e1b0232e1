"""`aurea keys` against the real API: a key is printed alone, so that a script can take it, and works at once."""

import asyncio

import orjson
from typer.testing import Result

from tests.api.command_line import aurea
from tests.api.door import TOKEN
from tests.api.live_server import Live, serve


async def _aurea(live: Live, *args: str, token: str = TOKEN) -> Result:
    """Off the loop, which serves the API meanwhile."""
    return await asyncio.to_thread(aurea, f"http://127.0.0.1:{live.port}", *args, token=token)


def _said(result: Result) -> str:
    """The last line: before it the API, which runs in the same process here, may have logged what it did."""
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()[-1]


async def test_a_key_is_made_used_rotated_and_revoked(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as live:
        made = await _aurea(live, "keys", "create", "ci", "--scope", "tasks:read", "--scope", "keys:write")
        key = _said(made)
        key_id = key.split("_")[2]
        assert f"aurea keys revoke {key_id}" in made.stderr
        assert (await _aurea(live, "tasks", token=key)).exit_code == 0
        line = _said(await _aurea(live, "keys", token=key))
        assert line.split("\t")[:3] == [key_id, "ci", "keys:write tasks:read"]
        assert key not in line
        rotated = orjson.loads(_said(await _aurea(live, "keys", "rotate", key_id, "--overlap", "10m", "--json")))
        assert (await _aurea(live, "tasks", token=rotated["key"])).exit_code == 0
        revoked = await _aurea(live, "keys", "revoke", rotated["id"])
        assert _said(revoked) == f"{rotated['prefix']} (ci) is revoked"
        assert (await _aurea(live, "keys", "revoke", "00000000")).exit_code == 1


async def test_a_key_for_a_while_and_wishes_that_cannot_be(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as live:
        made = orjson.loads(
            _said(await _aurea(live, "keys", "create", "ci", "--scope", "tasks:read", "--expires", "90d", "--json"))
        )
        assert made["expires_at"] > made["created_at"]
        for wish in (("--scope", "tasks:all"), ("--scope", "admin"), (), ("--scope", "mcp", "--expires", "soon")):
            refused = await _aurea(live, "keys", "create", "ci", *wish)
            assert (refused.exit_code != 0, refused.stdout) == (True, "")
        assert (await _aurea(live, "keys", "create", "x", "--scope", "mcp", "--expires", "9999999999d")).exit_code == 2
