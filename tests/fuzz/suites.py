"""The public collections, from a copy of theirs: `python -m tests.fuzz.suites --json FOLDER --strings FILE`.

FOLDER is `test_parsing` of nst/JSONTestSuite, FILE is `blns.json` of minimaxir/big-list-of-naughty-strings. Nothing may
answer 5xx; a document that is no JSON is refused, one that is JSON is read, unless it has a key twice.
"""

import argparse
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
from tests.fuzz.places import places

_TWICE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
_NUL = {"y_string_null_escape.json", "y_object_escaped_null_in_key.json", "y_string_u+0000.json"}


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


async def main(documents: Mapping[str, bytes], strings: list[str]) -> int:
    configure("ERROR", "json")
    home = Path(tempfile.mkdtemp(prefix="aurea-suites-"))
    servers = start_servers(home)
    told: Counter[str] = Counter()
    try:
        await migrate(servers.postgres.url)
        async with open_door(servers.postgres.url, servers.valkey.url, enable_sse=False) as door:
            told += await parse(door.http, documents)
            told += await say(door.http, strings) if strings else Counter()
    finally:
        servers.valkey.stop()
        servers.postgres.stop()
        shutil.rmtree(home)
    sys.stdout.write("".join(f"{times:6} {what}\n" for what, times in sorted(told.items())))
    return 1 if any(what.startswith("WRONG") for what in told) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--strings", type=Path)
    given = parser.parse_args()
    files = sorted(given.json.iterdir()) if given.json else []
    texts = orjson.loads(given.strings.read_bytes()) if given.strings else []
    sys.exit(asyncio.run(main({file.name: file.read_bytes() for file in files}, texts)))
