"""The queue with many tasks: their order, and what each one costs."""

import random

from redis.asyncio import Redis

from orchestrator.queue.keys import Keys
from orchestrator.queue.redis import RedisQueue
from tests.queue.entries import HOLD_MS, ONE, STEP_US, ending, entry

TASKS = 10_000
MAX_BYTES = 800


async def test_ten_thousand_tasks_of_five_priorities_come_out_without_one_inversion(
    redis_clients: tuple[Redis, Redis],
) -> None:
    queue = RedisQueue(*redis_clients, Keys(), STEP_US)
    await queue.open_epoch(1)
    priorities = random.Random(7)
    tasks = [entry(priority=priorities.randrange(5)) for _ in range(TASKS)]
    shuffled = random.Random(8).sample(tasks, TASKS)  # ids say nothing about the order of acceptance
    for start in range(0, TASKS, 500):
        assert all(await queue.enqueue(shuffled[start : start + 500]))
    came_out = []
    while popped := await queue.pop(["default"], 0.01):
        claims = await queue.claim(ONE, "default", 100, HOLD_MS, popped.id)
        came_out += [claim.entry.id for claim in claims]
        assert all(await queue.settle(ONE, [ending(claim) for claim in claims]))
    assert came_out == [task.id for task in sorted(shuffled, key=lambda task: task.priority)]


async def test_a_queued_task_costs_at_most_800_bytes_besides_its_payload(redis_clients: tuple[Redis, Redis]) -> None:
    commands, queue = redis_clients[0], RedisQueue(*redis_clients, Keys(), STEP_US)
    payload = b'{"prompt":"' + b"x" * 500 + b'"}'

    async def used() -> int:
        return int((await commands.info("memory"))["used_memory"])

    await queue.enqueue([entry()])
    before = await used()
    await queue.enqueue([entry(payload=payload) for _ in range(4000)])
    assert (await used() - before) / 4000 - len(payload) < MAX_BYTES
