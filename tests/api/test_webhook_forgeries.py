"""Whatever a forger sends is refused as the sender can bear it: nothing is stored, and nothing fails on our side."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.door import Door
from tests.api.senders import SENDERS, Sender, forgeries, open_to_all

NO_OBJECT = [b"null", b"[]", b"7", b'"x"']
UNREADABLE = [
    b"", b"{", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\u0000"}', b'{"a": "\\ud800"}', b"[" * 5000,
    b'{"a":' * 200 + b"1" + b"}" * 200, b"payload=%00", b"payload=%ff&a=b", b"a=1&a=2", b"payload={", b"&&&",
    b"=" * 500, b"command=%2Fx&token=%00", b"command=%2Fx&command=%2Fy", b"a=b&" * 500, b"payload=[]", b"payload=null",
]  # fmt: skip


@pytest.fixture
async def open_door(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_url: str
) -> AsyncIterator[Door]:
    async with open_to_all(monkeypatch, tmp_path, database_url, redis_url) as door:
        yield door


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
async def test_forgeries_are_refused_and_nothing_is_stored(open_door: Door, sender: Sender) -> None:
    before = await open_door.stored()
    made = dict(forgeries(sender))
    assert len(made) >= 60
    answers = {name: await sender.send(open_door, request) for name, request in made.items()}
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != sender.refused} == {}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}
    assert await open_door.stored() == before
    assert (await sender.send(open_door)).status_code == sender.accepted


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
async def test_what_is_signed_and_unreadable_is_a_clean_refusal(open_door: Door, sender: Sender) -> None:
    before = await open_door.stored()
    takes_any_json = sender.source in ("github", "shop")
    for body in UNREADABLE if takes_any_json else [*UNREADABLE, *NO_OBJECT]:
        answer = await sender.send(open_door, sender.request(body=body))
        assert answer.status_code in (400, 422), body[:40]
    assert await open_door.stored() == before
