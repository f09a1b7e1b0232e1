"""Records: what is written of a decoded record is what would have been written of the original."""

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.events import EventKind, Told
from orchestrator.domain.ids import Fence, Tenant, WorkerId, task_id
from orchestrator.domain.outbox import RecordKind
from orchestrator.domain.states import RunStatus, State
from orchestrator.domain.task import Claim, Entry, NewTask, Settlement, TaskError
from orchestrator.ledger import outbox
from orchestrator.ledger.attempts import settle_columns
from orchestrator.ledger.outbox_records import Step, Withdrawal, decode
from tests.store.samples import BEGAN_US, BROKEN, claim_of, crashed, ending_of, failed, new_task

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
DOCUMENTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
PRETTY = st.sampled_from([0, orjson.OPT_INDENT_2, orjson.OPT_APPEND_NEWLINE])
JSON = st.builds(lambda value, how: orjson.dumps(value, option=how), DOCUMENTS, PRETTY)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 2**52).map(lambda us: EPOCH + timedelta(microseconds=us))
IDS = st.builds(task_id, st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
FENCES = st.integers(1, 2**63 - 1).map(Fence)
COUNTS = st.integers(0, 2**31 - 1)
US = st.integers(0, 2**52)

TASKS = st.builds(
    NewTask, IDS, TEXT.map(Tenant), WORDS, JSON, st.binary(min_size=32, max_size=32), MOMENTS, WORDS, WORDS,
    st.integers(0, 9), COUNTS, st.floats(0, 1e9), st.none() | TEXT, st.booleans(), st.none() | MOMENTS,
    st.none() | MOMENTS, st.none() | MOMENTS, st.dictionaries(TEXT, TEXT, max_size=3), st.none() | IDS, st.booleans(),
)  # fmt: skip
ENTRIES = st.builds(Entry, IDS, TEXT.map(Tenant), WORDS, WORDS, st.integers(0, 9), JSON, COUNTS, st.floats(0, 9), WORDS)
CLAIMS = st.builds(
    Claim, ENTRIES, FENCES, COUNTS, TEXT.map(WorkerId), US, COUNTS, st.booleans(), lost=st.none() | FENCES,
)  # fmt: skip
ENDINGS = st.builds(
    Settlement, CLAIMS, st.sampled_from(State), st.none() | st.sampled_from(RunStatus), COUNTS, COUNTS, US,
    st.none() | US, st.none() | JSON, st.none() | st.builds(TaskError, TEXT, TEXT, st.booleans(), TEXT),
    st.none() | JSON,
)  # fmt: skip
EVENTS = st.builds(
    Told, IDS, TEXT.map(Tenant), FENCES, st.integers(1, 999_990), st.sampled_from(EventKind), JSON, MOMENTS
)


def seen(claim: Claim) -> tuple[Any, ...]:
    """What a statement is told of a claim."""
    return claim.entry.id, claim.fence, claim.run_fence, claim.attempt, claim.worker, claim.claimed_at_us


@given(TASKS)
def test_a_task_comes_back_as_it_was_down_to_the_bytes_of_its_payload(task: NewTask) -> None:
    assert decode(RecordKind.INSERT, outbox.inserted(task)) == task == outbox.read_inserted(outbox.inserted(task))


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Told) -> None:
    assert decode(RecordKind.TELL, outbox.told(event)) == event


@given(CLAIMS, TEXT, JSON)
def test_a_claim_comes_back_with_all_that_a_write_needs(claim: Claim, name: str, result: bytes) -> None:
    started = decode(RecordKind.START, outbox.started(claim))
    assert isinstance(started, Claim)
    assert seen(started) == seen(claim)
    step = decode(RecordKind.STEP, outbox.step(claim, name, result))
    assert isinstance(step, Step)
    assert (seen(step.claim), step.name, step.result) == (seen(claim), name, result)


@given(ENDINGS)
def test_an_ending_comes_back_with_all_that_is_written_of_it(ending: Settlement) -> None:
    again = decode(RecordKind.SETTLE, outbox.settled(ending))
    assert isinstance(again, Settlement)
    assert settle_columns([again], late=True) == settle_columns([ending], late=True)
    assert (again.claim.entry.tenant, again.claim.entry.type) == (ending.claim.entry.tenant, ending.claim.entry.type)


def test_a_withdrawal_learns_its_holder_early_or_late() -> None:
    row, holder = new_task().id, new_task().id
    assert decode(RecordKind.WITHDRAW, outbox.withdrawn(row, holder)) == Withdrawal(row, holder)
    assert decode(RecordKind.WITHDRAW, outbox.withdrawn(row) + holder.encode()) == Withdrawal(row, holder)
    assert decode(RecordKind.WITHDRAW, outbox.withdrawn(row)) == Withdrawal(row, None)


def test_a_record_carries_no_payload_but_that_of_its_insert() -> None:
    task = new_task(payload=b'{"secret":"' + b"x" * 10_000 + b'"}')
    claim = claim_of(task, 5)
    for record in (outbox.started(claim), outbox.step(claim, "s", b"1"), outbox.settled(ending_of(claim))):
        assert len(record) < 500
    assert outbox.inserted(task).endswith(b"\n" + task.payload)


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    line, _, rest = outbox.started(claim_of(new_task(), 5)).partition(b"\n")
    newer = orjson.dumps(orjson.loads(line) | {"place": "x"}) + b"\n" + rest
    assert isinstance(decode(RecordKind.START, newer), Claim)


def test_an_ending_tells_what_a_reader_asks_while_postgres_is_away() -> None:
    ending = ending_of(claim_of(new_task(), 5, attempt=3))
    settled = outbox.read_settled(outbox.settled(ending))
    ended_at = EPOCH + timedelta(microseconds=BEGAN_US + 5 + 2_000_000)
    assert (settled.state, settled.result, settled.error) == (State.SUCCEEDED, b'{"size":12}', None)
    assert (settled.attempt, settled.worker, settled.finished_at) == (3, "w1", ended_at)


def test_a_failure_tells_its_error_as_the_row_would() -> None:
    settled = outbox.read_settled(outbox.settled(ending_of(claim_of(new_task(), 5), failed(BROKEN))))
    assert (settled.state, settled.result) == (State.FAILED, None)
    assert settled.error == {
        "type": "ValueError", "message": "no such page", "retryable": False, "fingerprint": "f-broken",
    }  # fmt: skip


def test_what_nobody_saw_end_has_ended_when_it_was_noticed() -> None:
    ending = crashed(new_task(), 8, lost=5, crashes=2)
    noticed_at = EPOCH + timedelta(microseconds=BEGAN_US + 8)
    assert outbox.read_settled(outbox.settled(ending)).finished_at == noticed_at


@pytest.mark.parametrize("kind", RecordKind)
@pytest.mark.parametrize("record", [b"", b"\n", b"[]", b"3\n1", b"{", b'{"id":"x"', b"\xff\xfe", b"null"])
def test_what_is_no_record_is_a_value_error(kind: RecordKind, record: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        decode(kind, record)


def test_a_record_that_was_cut_off_is_a_value_error() -> None:
    ending = replace(ending_of(claim_of(new_task(), 5)), progress=b'{"fraction":1.0}')
    with pytest.raises(ValueError, match="values"):
        decode(RecordKind.SETTLE, outbox.settled(ending)[:-1])
    with pytest.raises(ValueError, match="record"):
        decode(RecordKind.INSERT, outbox.inserted(new_task())[:40])
