"""A request that is given up leaves nothing behind: no reply reaches the wrong one, no tenant stays in a connection."""

import random

from tests.tenants.cancellations import Storm, stained
from tests.tenants.world import World


async def test_replies_reach_their_own_tenant_whatever_is_cancelled(world: World) -> None:
    storm = Storm(world, random.Random(7))
    await storm.blow(1_900)
    assert storm.wrong == []
    assert await stained(world.door) == []
    assert storm.told["cancelled"] >= 1_000
    assert storm.told["answered"] >= 100
    assert storm.told["streams with news"] >= 10
