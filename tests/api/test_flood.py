"""Senders that are slow or never stop: others are answered, and memory stays as it is."""

from tests.fuzz.flood import api_process, flood


async def test_slow_senders_and_endless_bodies_take_neither_the_health_nor_the_memory(
    database_url: str, redis_url: str
) -> None:
    async with api_process(database_url, redis_url) as api:
        figures = await flood(api, connections=200, total_bytes=150_000_000)
    assert figures.sent_bytes >= 150_000_000
    assert figures.most_mb - figures.before_mb < 150, figures
