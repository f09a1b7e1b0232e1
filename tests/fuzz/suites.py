"""The public collections: JSONTestSuite and the Big List of Naughty Strings, as they stand in tests/fixtures.

`python -m tests.fuzz.suites` sends each text to every place of every route; the default run sends it to one. Nothing
may answer 5xx; a document that is no JSON is refused, one that is JSON is read, unless it has a key twice, or a NUL.
"""

import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx2
import orjson

from orchestrator.ledger.migrate import migrate
from orchestrator.telemetry.logs import configure
from tests.api.door import open_door
from tests.conftest import start_servers
from tests.fuzz.campaign import WHOLE
from tests.fuzz.places import places

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_TWICE = {"y_object_duplicated_key", "y_object_duplicated_key_and_value"}
_NUL = {"y_string_null_escape", "y_object_escaped_null_in_key", "y_string_u+0000"}


def documents() -> dict[str, bytes]:
    """The documents by their names: y_ is JSON, n_ is none, i_ may be either."""
    lines = [orjson.loads(line) for line in (_FIXTURES / "json_test_suite.jsonl").read_bytes().splitlines()]
    return {name: text.encode("latin-1") * (times[0] if times else 1) for name, text, *times in lines}


def strings() -> list[str]:
    found: list[str] = orjson.loads((_FIXTURES / "naughty_strings.json").read_bytes())
    return found


async def parse(http: httpx2.AsyncClient, documents: Mapping[str, bytes]) -> Counter[str]:
    """Send each document as a task's payload of a handler that takes anything."""
    told: Counter[str] = Counter()
    for name, document in documents.items():
        body = b'{"type":"greet","payload":{"text":"","any":' + document + b"}}"
        answer = await http.post("/tasks", content=body)
        # What was read is refused for the field that the handler does not know, and for nothing else.
        pointers = [issue["pointer"] for issue in answer.json().get("errors", ())]
        read = pointers == ["/payload/any"] and "Extra inputs" in answer.text
        told[f"{name[0]} {'read' if read else 'refused'} {answer.status_code}"] += 1
        wrong = answer.status_code >= 500 or (name[0] == "n" and read) or (name[0] == "y" and not read)
        if wrong and name not in _TWICE | _NUL:
            told[f"WRONG {name}: {answer.status_code} {answer.text[:200]}"] += 1
    return told


async def say(http: httpx2.AsyncClient, strings: list[str]) -> Counter[str]:
    """Send each text to every place of every route."""
    told: Counter[str] = Counter()
    for place in places((await http.get("/openapi.json")).json()):
        for text in strings:
            answer = await place.send(http, text)
            told[f"{answer.status_code // 100}xx"] += 1
            if answer.status_code >= 500:
                told[f"WRONG {place} {text!r}: {answer.text[:200]}"] += 1
    return told


async def main() -> int:
    configure("ERROR", "json")
    home = Path(tempfile.mkdtemp(prefix="aurea-suites-"))
    servers = start_servers(home)
    try:
        await migrate(servers.postgres.url)
        async with open_door(servers.postgres.url, servers.valkey.url, enable_sse=False, **WHOLE) as door:
            told = await parse(door.http, documents()) + await say(door.http, strings())
    finally:
        servers.valkey.stop()
        servers.postgres.stop()
        shutil.rmtree(home)
    sys.stdout.write("".join(f"{times:6} {what}\n" for what, times in sorted(told.items())))
    return 1 if any(what.startswith("WRONG") for what in told) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
