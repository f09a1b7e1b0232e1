"""The keys of the public contract, and that nothing is left lying."""

from redis.asyncio import Redis

from orchestrator.domain.ids import Tenant
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import State
from orchestrator.queue.keys import Keys, key_name
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import (
    HOLD_MS,
    HOUR_US,
    ONE,
    STEP_US,
    SWEEPER,
    acceptance,
    ending,
    entry,
    hold,
    write,
)


async def names(commands: Redis) -> set[str]:
    return {key.decode() for key in await commands.keys("*")}


async def test_the_keys_are_those_of_the_contract(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    running, mail, later = entry(), entry(queue="mails"), entry(ready_at_us=9_000_000_000_000_000)
    await queue.enqueue([running, mail, later])
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    assert await commands.zrange("aurea:queue:mails", 0, -1) == [mail.id.encode()]
    assert await commands.zrange("aurea:scheduled", 0, -1, withscores=True) == [(later.id.encode(), 9e15)]
    assert await commands.get(f"aurea:lock:{running.id}") == f"{ONE}:{claim.fence}".encode()
    assert HOLD_MS - 5000 < await commands.pttl(f"aurea:lock:{running.id}") <= HOLD_MS
    assert await commands.hget(f"aurea:tasks:{running.id}", "status") == b"running"
    assert await commands.hget(f"aurea:tasks:{mail.id}", "payload") == mail.payload
    await commands.zadd("aurea:leases", {running.id: 1})  # as if it had run out
    (over,), _ = await queue.take_over(SWEEPER, 5, HOLD_MS)
    assert await commands.get(f"aurea:lock:{running.id}") == f"{SWEEPER}:{over.fence}".encode()
    await queue.settle(SWEEPER, [ending(over, State.QUEUED)])
    assert await commands.zrange("aurea:queue", 0, -1) == [running.id.encode()]


async def test_another_namespace_is_another_queue(redis_clients: tuple[Redis, Redis]) -> None:
    one, other = (RedisQueue(*redis_clients, Keys(name), STEP_US) for name in ("one", "{two:1}"))
    await other.open_epoch(1)
    await other.enqueue([entry()])
    assert await one.epoch() is None
    assert await one.depth("default") == 0
    await one.open_epoch(5)
    (claim,) = await other.claim(ONE, "default", 1, HOLD_MS)
    await other.settle(ONE, [ending(claim)])
    assert {name.partition(":")[0] for name in await names(redis_clients[0])} == {"one", "{two"}


async def test_a_task_that_ended_leaves_nothing_behind(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.enqueue([entry() for _ in range(6)])
    claims = await queue.claim(ONE, "default", 9, HOLD_MS)
    states = (State.SUCCEEDED, State.FAILED, State.EXPIRED, State.WAITING, State.QUEUED, State.RETRYING)
    endings = [ending(claim, state) for claim, state in zip(claims, states, strict=True)]
    assert await queue.settle(ONE, endings) == [True] * 6
    assert await commands.zcard("aurea:leases") == 0
    assert await commands.keys("aurea:lock:*") == []
    await queue.drop([claim.entry.id for claim in claims])
    assert await names(commands) == {"aurea:epoch", "aurea:tick", "aurea:queues"}


async def test_dropping_what_runs_leaves_only_a_tombstone_for_a_while(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.enqueue([task := entry(expires_at_us=9 * HOUR_US)])
    await queue.claim(ONE, "default", 1, HOLD_MS)
    await queue.drop([task.id])
    assert await names(commands) == {"aurea:epoch", "aurea:tick", "aurea:queues", f"aurea:lock:{task.id}"}
    assert 0 < await commands.pttl(f"aurea:lock:{task.id}") <= 60_000


async def test_the_outbox_and_what_goes_with_it_are_those_of_the_contract(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    await queue.accept([acceptance(task := entry(), hold("k", until_final=True))])
    assert await commands.get("aurea:key:k") == f"{task.id} 01ff u o".encode()
    assert HOLD_MS - 5000 < await commands.pttl("aurea:key:k") <= HOLD_MS
    (claim,) = await queue.claim(ONE, "default", 1, HOLD_MS)
    await queue.record(ONE, [write(claim, RecordKind.STEP, step=("a", b"1"))])
    assert await commands.hgetall(f"aurea:steps:{task.id}") == {b"a": b"1"}
    await queue.settle(ONE, [ending(claim)], (), [b"ended"])
    stored = await commands.xrange("aurea:outbox")
    assert [fields[b"kind"] for _, fields in stored] == [b"insert", b"step", b"settle"]
    assert stored[2][1] == {
        b"kind": b"settle", b"task": task.id.encode(), b"fence": str(claim.fence).encode(), b"key": b"",
        b"record": b"ended",
    }  # fmt: skip
    row = await commands.hgetall(f"aurea:tasks:{task.id}")
    assert row.keys() == {b"task", b"payload", b"status", b"epoch", b"attempt", b"ended", b"asked", b"record"}
    assert await commands.exists(f"aurea:lock:{task.id}") == 0
    await queue.applied(await queue.outbox(10))
    assert await commands.get("aurea:key:k") == f"{task.id} 01ff u p".encode()
    assert HOLD_MS - 5000 < await commands.pttl("aurea:key:k") <= HOLD_MS
    left = {"aurea:epoch", "aurea:tick", "aurea:queues", "aurea:outbox", "aurea:key:k"}
    assert await names(commands) == left
    assert (await commands.xinfo_stream("aurea:outbox"))["length"] == 0


async def test_places_grow_as_text_beyond_nine_records_of_a_millisecond(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    record = {"kind": "tell", "task": entry().id, "fence": 1, "key": "", "record": b"x"}
    for stream_id in ("999-0", "1000-2", "1000-9", "1000-10"):
        await commands.xadd("aurea:outbox", record, id=stream_id)
    waiting = await queue.outbox(10)
    places = [each.place for each in waiting]
    assert places == sorted(places)
    await queue.applied([waiting[0], waiting[3]])
    assert [each.place for each in await queue.outbox(10)] == places[1:3]


def test_a_key_s_name_tells_tenants_apart_and_hides_the_key() -> None:
    assert key_name(Tenant("acme"), "order-7") == "48e8a918213b6590aa0d1ca4f5bfe25a"
    assert key_name(Tenant("a"), "bc") != key_name(Tenant("ab"), "c")
