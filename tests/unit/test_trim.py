"""What waits for a commit takes the memory of its text, not of the buffer that it was written to."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from orchestrator.domain.ids import DEFAULT_TENANT, Fence, TaskId, WorkerId
from orchestrator.domain.task import Claim, Entry, TaskError
from orchestrator.domain.trim import trimmed
from orchestrator.operations.request import _encoded
from orchestrator.worker.encoding import encode_event, encode_result
from orchestrator.worker.failure import told_failure

TASK = TaskId("01997c0e-0000-7000-8000-000000000001")
CLAIM = Claim(
    Entry(TASK, DEFAULT_TENANT, "noop", "slow", 5, b"{}", 6, 900.0, ""), Fence(1), 1, WorkerId("w"), 0, 0, True
)
ERROR = TaskError("ValueError", "it broke", retryable=True, fingerprint="f")
TEXT = {"text": "x" * 2_000}
MANY = 100


@pytest.mark.parametrize(
    ("encode", "text_bytes"),
    [
        (lambda: encode_result(None, "the result", 100), 4),
        (lambda: encode_result(TEXT, "the result", 10_000), 2_011),
        (lambda: encode_event(TEXT), 2_011),
        (lambda: told_failure(CLAIM, ERROR, datetime.now(UTC)).data, 80),
        (lambda: _encoded(TEXT, 10_000), 2_011),
    ],
    ids=["short result", "long result", "event", "failure", "payload"],
)
def test_what_waits_is_kept_in_no_more_memory_than_its_text(encode: Callable[[], bytes], text_bytes: int) -> None:
    encode()
    tracemalloc.start()
    kept = [encode() for _ in range(MANY)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept[0]) <= text_bytes
    assert taken < MANY * (text_bytes + 200)


@pytest.mark.parametrize("value", [None, "", {"a": [1, "é"]}, "x" * 100_000])
def test_trimmed_is_equal(value: object) -> None:
    assert trimmed(orjson.dumps(value)) == orjson.dumps(value)
