"""What OpenAI's codes mean where there is no status of HTTP: inside a stream, and of an answer that failed."""

import httpx2
import openai
import pytest

from orchestrator.models.faults import Kind
from orchestrator.models.openai_errors import of_failed_response, understand
from orchestrator.testing import FakeClock


@pytest.mark.parametrize(
    ("code", "in_a_stream", "of_an_answer"),
    [
        ("rate_limit_exceeded", Kind.LIMITED, Kind.LIMITED),
        ("insufficient_quota", Kind.LIMITED, Kind.LIMITED),
        ("context_length_exceeded", Kind.CONTEXT, Kind.CONTEXT),
        ("server_error", Kind.AWAY, Kind.AWAY),
        ("vector_store_timeout", Kind.AWAY, Kind.AWAY),
        (None, Kind.AWAY, Kind.AWAY),
        ("bio_policy", Kind.AWAY, Kind.CONTENT),
        ("something_new", Kind.AWAY, Kind.REQUEST),
    ],
)
def test_a_code_is_understood(code: str | None, in_a_stream: Kind, of_an_answer: Kind):
    request = httpx2.Request("POST", "http://localhost/v1")
    error = openai.APIError("it is so, s3cret", request, body={"code": code, "message": "it is so, s3cret"})
    now = FakeClock().now()
    fault = understand(error, begun=True, now=now, key="s3cret")
    failed = of_failed_response(code, "it is so, s3cret", key="s3cret")
    assert (fault.kind, failed.kind) == (in_a_stream, of_an_answer)
    for said in (str(fault), str(failed)):
        assert said.endswith("it is so, [redacted]")
        assert "None" not in said
