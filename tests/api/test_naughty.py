"""Texts and documents that have broken other systems, in every place that takes one: each is kept whole or refused."""

import asyncio
import re

import httpx2
import orjson

from app.problems import MEDIA_TYPE
from orchestrator.domain.events import EventKind
from orchestrator.domain.outcome import Succeeded
from tests.api.door import Door, claim, end, say
from tests.fuzz.places import places
from tests.fuzz.strings import NAUGHTY, TRICKY_JSON
from tests.fuzz.suites import documents, parse, strings

_INSIDE = re.compile(
    r"Traceback|File \"|asyncpg|psycopg|pydantic|starlette|orchestrator[/._]|site-packages|\.py\b|select .* from|/srv/",
    re.IGNORECASE,
)
"""What no answer may tell of what it is made of; `drop table` of our own texts aside."""


def check(answer: httpx2.Response, sent: str) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE
        told = answer.text.replace("orchestrator_tasks", "") if "orchestrator_tasks" in sent else answer.text
        assert not _INSIDE.search(told), told
        assert orjson.loads(answer.content)["status"] == answer.status_code


async def test_no_text_breaks_any_place_of_any_route(door: Door) -> None:
    tried = 0
    for place in places((await door.http.get("/openapi.json")).json()):
        for text in NAUGHTY:
            answer = await place.send(door.http, text)
            check(answer, text)
            tried += 1
    assert tried > 2_000


async def test_a_text_that_is_kept_comes_back_as_it_was(door: Door) -> None:
    kept = 0
    for text in NAUGHTY:
        fields = {"payload": {"text": text}, "tags": {"t": text[:60], text[:60] or "t2": ""}}
        answer = await door.http.post("/tasks", content=orjson.dumps({"type": "greet", **fields}))
        check(answer, text)
        if answer.status_code == 201:
            kept += 1
            task = (await door.http.get(answer.headers["Location"])).json()
            assert {name: task[name] for name in fields} == fields
    assert kept >= len(NAUGHTY) - 2  # all but those with a NUL


async def test_a_text_in_an_event_makes_no_event_of_its_own(door: Door) -> None:
    task = await door.submit()
    claimed = await claim(door.runtime)
    texts = [*NAUGHTY, "x\rdata: {}\r\rid: 9\r", "\n: comment\nretry: 1\n", "a\u2028event: end\u0085"]
    told = [text for text in texts if "\x00" not in text]
    await say(door.runtime, claimed, EventKind.LOG, *({"text": text, "fields": {text: text}} for text in told))
    await end(door.runtime, claimed, Succeeded(orjson.dumps(texts[-3])))
    stream = (await door.http.get(f"/stream/{task['id']}")).content
    frames = [frame.split(b"\n") for frame in stream.split(b"\n\n") if frame and not frame.startswith(b":")]
    assert b"\r" not in stream
    assert {tuple(line.partition(b":")[0] for line in frame) for frame in frames} == {(b"id", b"event", b"data")}
    logged = [orjson.loads(frame[2][6:]) for frame in frames if frame[1] == b"event: log"]
    assert [data["text"] for data in logged] == told
    assert len({frame[0] for frame in frames}) == len(frames)


async def test_what_is_not_quite_json_is_refused_wherever_it_stands(door: Door) -> None:
    before = await door.stored()
    bodies = [around % document for document in TRICKY_JSON for around in (b"%b", b'{"type":"greet","payload":%b}')]
    for body in bodies:
        for path in ("/tasks", "/tasks/batch", "/dead/replay"):
            answer = await door.http.post(path, content=body)
            assert answer.status_code in (400, 413, 422), (path, body[:50], answer.text)
            check(answer, "")
    assert await door.stored() == before


async def test_the_public_collection_of_json_is_read_or_refused_as_it_says(door: Door) -> None:
    told = await parse(door.http, documents())
    assert not [what for what in told if what.startswith("WRONG")]
    assert told.total() == 318


async def test_the_public_list_of_naughty_strings_comes_back_as_it_was(door: Door) -> None:
    texts = strings()
    tasks = [{"type": "greet", "payload": {"text": text}, "tags": {"t": text[:256]}} for text in texts]
    made = (await door.http.post("/tasks/batch", content=orjson.dumps({"tasks": tasks}))).json()["items"]
    assert {each["status_code"] for each in made} == {201}
    shown = await asyncio.gather(*(door.http.get(f"/tasks/{each['task']['id']}") for each in made))
    assert [(task.json()["payload"]["text"], task.json()["tags"]["t"]) for task in shown] == [
        (text, text[:256]) for text in texts
    ]
