"""The fault matrix, intake: APIs that die between two effects, leave in turn, and clients that give up half-way."""

import asyncio
import functools
import json
import signal
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.faults.matrix import LONGEST_ANSWER_SECONDS, ROOM_SECONDS, Rig, nap, open_rig
from tests.faults.system import TOKEN, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("matrix-intake")]

RECONCILED_SECONDS = 3.0 + 1.0 + 1.0
"""What `fresh` leaves a submit to finish, its pace, and the matrix' second."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path_factory.mktemp("intake")) as opened:
        yield opened


async def unanswered(rig: Rig, name: str, task: dict[str, Any]) -> None:
    """Hand a task to an API that dies before it answers."""
    with pytest.raises(httpx2.TransportError):
        await rig.post(task, name)
    await rig.died(name)


async def test_a_row_that_an_api_did_not_live_to_queue_runs(rig: Rig) -> None:
    """Row 12: kill -9 between the commit and the queue: the reconciler queues it, and the key names it."""
    rig.system.start("api12", AUREA_CRASH_AT="inserted")
    worker = await rig.worker("row12")
    await rig.system.ready("api12")
    task = nap("row12", idempotency_key="row-12")
    await unanswered(rig, "api12", task)
    [row] = await rig.rows("select id::text from orchestrator_tasks where queue = 'row12'")
    await rig.ended([row["id"]], RECONCILED_SECONDS + ROOM_SECONDS)
    answer = await rig.post(task)
    assert (answer.status_code, answer.json()["id"]) == (200, row["id"])
    await rig.sound([row["id"]])
    await rig.end(worker)


async def test_a_key_whose_answer_was_lost_with_its_api_names_the_one_task(rig: Rig) -> None:
    """Row 13: kill -9 between the commit and the answer: the same key elsewhere is the same task, at once."""
    rig.system.start("api13", AUREA_CRASH_AT="enqueued")
    worker = await rig.worker("row13")
    await rig.system.ready("api13")
    task = nap("row13", idempotency_key="row-13")
    await unanswered(rig, "api13", task)
    again = await rig.post(task)
    other = await rig.post({**task, "priority": 1})
    assert (again.status_code, other.status_code) == (200, 422)
    await rig.ended([again.json()["id"]], ROOM_SECONDS)
    [(count,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = 'row13'")
    assert count == 1
    await rig.sound([again.json()["id"]])
    await rig.end(worker)


async def test_a_task_whose_acceptance_was_lost_between_two_faults_is_the_one_that_is_asked_for_again(rig: Rig) -> None:
    """Redis accepts and the answer is lost; asked again with only Postgres there: one task, run once."""
    worker = await rig.worker("doubt")
    relay, postgres, redis = rig.system.processes["scheduler"], rig.link("api", "postgres"), rig.link("api", "redis")
    postgres.cut()
    first = (await rig.post(nap("doubt"))).json()
    assert first["durability"] == "redis"
    await rig.until_noted([first["id"]], "end")
    before = len(rig.system.executions())
    relay.send_signal(signal.SIGSTOP)  # what is accepted stays in the outbox, and comes in no row yet
    redis.slow(0.25)
    task = nap("doubt", idempotency_key="doubt")
    asking = asyncio.create_task(rig.post(task))

    async def ran() -> bool:
        return len(rig.system.executions()) == before + 2

    await until(ran, LONGEST_ANSWER_SECONDS, every=0.01)
    redis.cut()  # the answer is still on its way
    assert (await asking).status_code == 503
    postgres.heal()
    while not (answer := await rig.post(task)).is_success:
        assert answer.status_code == 503
    relay.send_signal(signal.SIGCONT)
    redis.heal()
    await rig.ended([answer.json()["id"]], RECONCILED_SECONDS + ROOM_SECONDS)
    rows = await rig.rows("select id::text from orchestrator_tasks where idempotency_key = 'doubt'")
    assert [row["id"] for row in rows] == [answer.json()["id"]]
    assert len(rig.system.executions()) == before + 2
    await rig.end(worker)


async def test_apis_that_are_restarted_in_turn_keep_every_accepted_task(rig: Rig) -> None:
    """Row 11: each API leaves and returns under load; what it answered is kept, what it did not is asked elsewhere."""
    apis = ("api", "api11")
    rig.system.start("api11")
    worker = await rig.worker("row11", MAX_CONCURRENCY="50")
    await rig.system.ready("api11")
    kept: dict[str, set[str]] = {}
    rolled = asyncio.Event()

    async def client(number: int) -> None:
        turn = 0
        while not rolled.is_set():
            task = nap("row11", idempotency_key=f"row-11-{number}-{turn}")
            for attempt in range(100):  # a client that gets no answer asks the other one
                try:
                    answer = await rig.post(task, apis[(number + attempt) % 2])
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)
                    continue
                assert answer.status_code in (200, 201, 503), answer.text
                if answer.is_success:
                    kept.setdefault(task["idempotency_key"], set()).add(answer.json()["id"])
                    break
            turn += 1

    clients = [asyncio.create_task(client(number)) for number in range(6)]
    for name in apis:
        await until(functools.partial(_more, kept, len(kept) + 20), 15)  # load on both
        assert await rig.system.leave(name) in (0, -signal.SIGTERM)  # its server passes the signal on when it is done
        rig.system.start(name)
        await rig.system.ready(name)
    rolled.set()
    await asyncio.gather(*clients)
    assert len(kept) > 20
    assert [ids for ids in kept.values() if len(ids) != 1] == []
    ids = [task_id for ids in kept.values() for task_id in ids]
    await rig.ended(ids, 2.0 + ROOM_SECONDS + RECONCILED_SECONDS)
    [(count,)] = await rig.rows("select count(*) from orchestrator_tasks where queue = 'row11'")
    assert count == len(ids), "unexpected"
    await rig.sound(ids)
    await rig.end(worker, "api11")


async def _more(kept: dict[str, set[str]], than: int) -> bool:
    return len(kept) > than


def reset_after(port: int, request: bytes, share: float) -> None:
    """Send this share of a request and reset the connection; beyond the whole, when the answer begins."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(request[: int(len(request) * share)])
        if share > 1.0:
            connection.recv(1)


async def test_a_client_that_gives_up_in_mid_post_finds_its_task_or_none_under_the_same_key(rig: Rig) -> None:
    """Row 42: connections are reset behind part of the headers, of the body, behind all of it; the key resolves it."""
    worker = await rig.worker("row42")
    port = rig.system.port("api")
    shares = (0.1, 0.5, 0.9, 0.99, 1.0, 1.0, 1.0, 1.1)
    keys = [f"row-42-{number}" for number in range(40)]
    for number, key in enumerate(keys):
        body = json.dumps(nap("row42", idempotency_key=key)).encode()
        head = f"POST /tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        await asyncio.to_thread(reset_after, port, request, shares[number % len(shares)])
    answers = [await rig.post(nap("row42", idempotency_key=key)) for key in keys]
    assert {answer.status_code for answer in answers} == {200, 201}
    ids = [answer.json()["id"] for answer in answers]
    await rig.ended(ids, ROOM_SECONDS)
    rows = await rig.rows("select idempotency_key from orchestrator_tasks where queue = 'row42'")
    assert sorted(row[0] for row in rows) == sorted(keys)
    await rig.sound(ids)
    await rig.end(worker)
