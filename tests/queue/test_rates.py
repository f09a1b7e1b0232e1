"""Rates on Redis: the script decides as the reference does, counts all processes together, and forgets what is over."""

import asyncio

from redis.asyncio import Redis

from orchestrator.domain.rate import Rate, judge
from orchestrator.queue.keys import Keys
from orchestrator.queue.rates import Rates


async def test_the_script_decides_as_the_rule_does(redis_clients: tuple[Redis, Redis]) -> None:
    commands, _ = redis_clients
    rates = Rates(commands, Keys())
    pair = [Rate("principal", "p", 7), Rate("tenant", "t", 600)]
    due = [0, 0]
    for step in range(12):
        asked = pair if step % 3 else pair[1:]
        seconds, microseconds = await commands.time()
        passes, verdicts = await rates.admit(asked)
        places = [pair.index(rate) for rate in asked]
        expected, wanted, after = judge(asked, [due[place] for place in places], seconds * 1_000_000 + microseconds)
        assert passes is expected
        for place, moment in zip(places, after, strict=True):
            due[place] = moment
            kept = int(await commands.get(f"aurea:rate:{pair[place].key}") or 0)
            assert not passes or abs(kept - moment) < 1_000_000  # its clock went on between the two
            due[place] = kept
        for verdict, want in zip(verdicts, wanted, strict=True):
            assert abs(verdict.left - want.left) <= 10
            assert (verdict.retry_us > 0) is (want.retry_us > 0)
    assert sum([(await rates.admit(pair))[0] for _ in range(10)]) == 0


async def test_of_many_at_once_just_the_limit_passes(redis_clients: tuple[Redis, Redis]) -> None:
    rates = [Rates(commands, Keys()) for commands in (redis_clients[0], redis_clients[0])]
    rate = Rate("tenant", "t", 50)
    answers = await asyncio.gather(*(rates[number % 2].admit([rate]) for number in range(120)))
    # One more comes every 1.2 s, and a slow machine may take that long.
    assert 50 <= sum(passes for passes, _ in answers) <= 53
    assert 0 < await redis_clients[0].pttl("aurea:rate:t") <= 62_000
