"""What the OpenAPI document says is what happens: a short campaign of requests made of it, the same each time.

The long one is `python -m tests.fuzz`.
"""

from tests.api.live_server import serve
from tests.fuzz.campaign import WHOLE, fuzz


async def test_no_request_made_of_the_document_gets_a_5xx_or_an_answer_it_does_not_describe(
    database_url: str, redis_url: str
) -> None:
    async with serve(database_url, redis_url, **WHOLE) as live:
        report = await fuzz(live, examples=2, seed=1)
    assert report.failures == 0, report.text
    assert report.cases > 500
