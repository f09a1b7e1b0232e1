"""The checker bites: a healthy history passes, and each way to break a promise is found, by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.chaos.checker import Findings, Row, RunRow, check
from orchestrator.chaos.history import Execution, History, Phase, Record, read_history, read_sink
from orchestrator.chaos.verdict import BROKEN_BY, Verdict
from orchestrator.domain.states import State


def submitted(phase: Phase, *keys: str, ids: tuple[str, ...] = (), at: float = 1.0) -> Record:
    return Record(at, "client-0", "submit", phase, keys, ids)


HISTORY = [submitted("invoke", "k1", "k2"), submitted("ok", "k1", "k2", ids=("t1", "t2"))]
ROWS = [Row("t1", "k1", State.SUCCEEDED, 10, 5, 5.0), Row("t2", "k2", State.SUCCEEDED, 11, 5, 6.0)]
RUNS = [
    RunRow("t1", 10, 1, "succeeded", State.SUCCEEDED, "worker-host-77-ab", 4.0, None),
    RunRow("t2", 11, 1, "succeeded", State.SUCCEEDED, "worker-host-77-ab", 5.0, None),
]
EXECUTIONS = [Execution("t1", 1, 10, 4.1), Execution("t2", 1, 11, 5.1)]


def judged(
    history: list[Record] = HISTORY,
    rows: list[Row] = ROWS,
    runs: list[RunRow] = RUNS,
    executions: list[Execution] = EXECUTIONS,
    one_worker: bool = False,
) -> Findings:
    return check(history, rows, runs, executions, one_worker=one_worker)


def broken(found: Findings) -> set[str]:
    """Which promises this verdict says are broken."""
    verdict = Verdict(1, found, 1.0, 1.0, 0, (1.0, 2.0), {}, {}, 0, [])
    names = {name for name in BROKEN_BY if verdict.figures()[name]}
    assert verdict.is_sound is (names == set())
    return names


def test_a_healthy_campaign_is_sound() -> None:
    found = judged()
    assert broken(found) == set()
    assert (found.doubled, found.states, found.executions) == ([], {"succeeded": 2}, 2)


def test_an_accepted_task_without_a_row_is_lost() -> None:
    found = judged(rows=ROWS[:1], runs=RUNS[:1])
    assert found.lost == ["t2"]
    assert broken(found) == {"lost"}


def test_an_accepted_task_that_never_ends_is_lost() -> None:
    found = judged(rows=[ROWS[0], replace(ROWS[1], status=State.RUNNING, finished_at=None)], runs=RUNS[:1])
    assert found.lost == ["t2"]


def test_a_row_that_nobody_submitted_is_unexpected() -> None:
    found = judged(rows=[*ROWS, Row("t3", "k3", State.SUCCEEDED, 0, 5, 5.0)])
    assert found.unexpected == ["t3"]
    assert broken(found) == {"unexpected"}


def test_what_was_executed_and_never_kept_is_unexpected() -> None:
    found = judged(executions=[*EXECUTIONS, Execution("t3", 1, 12, 5.2)])
    assert found.unexpected == ["t3"]
    assert broken(found) == {"unexpected"}


def test_a_second_row_of_a_key_is_unexpected() -> None:
    assert judged(rows=[*ROWS, Row("t3", "k1", State.SUCCEEDED, 0, 5, 5.0)]).unexpected == ["t3"]


def test_a_row_that_was_refused_is_unexpected() -> None:
    refused = [*HISTORY, submitted("invoke", "k3"), submitted("fail", "k3")]
    found = judged(refused, [*ROWS, Row("t3", "k3", State.SUCCEEDED, 0, 5, 5.0)])
    assert found.unexpected == ["t3"]
    assert found.submissions.refused == {"k3"}


def test_a_submission_without_an_answer_may_be_there_or_not() -> None:
    asked = [*HISTORY, submitted("invoke", "k3"), submitted("unknown", "k3")]
    with_row = judged(asked, [*ROWS, Row("t3", "k3", State.SUCCEEDED, 0, 5, 5.0)])
    assert broken(with_row) == broken(judged(asked)) == set()
    assert with_row.submissions.unknown == {"k3"}


def test_an_answer_that_comes_late_is_recovered_and_has_to_hold() -> None:
    answered = [*HISTORY, submitted("unknown", "k3"), submitted("ok", "k3", ids=("t3",))]
    found = judged(answered)
    assert found.submissions.recovered == {"k3"}
    assert found.submissions.unknown == set()
    assert found.lost == ["t3"]


def test_a_key_that_stands_for_two_tasks_is_forked() -> None:
    found = judged([*HISTORY, submitted("ok", "k2", ids=("t3",))], [*ROWS, replace(ROWS[1], id="t3")])
    assert found.submissions.forked == {"k2": {"t2", "t3"}}
    assert broken(found) == {"keys_with_two_tasks"}


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_two_runs_that_ended_a_task_are_recorded_twice(status: str) -> None:
    becomes = State.SUCCEEDED if status == "succeeded" else State.FAILED
    found = judged(runs=[replace(RUNS[0], fence=9, status=status, becomes=becomes), *RUNS])
    assert found.recorded_twice == ["t1"]
    assert "recorded_twice" in broken(found)


def test_an_end_under_an_older_fence_than_another_run_is_stale() -> None:
    newer = RunRow("t1", 12, 2, "running", None, "worker-host-78-ab", 4.5, None)
    found = judged(rows=[replace(ROWS[0], fence=12), ROWS[1]], runs=[*RUNS, newer])
    assert found.stale == ["t1"]
    assert broken(found) == {"stale_writes_accepted"}


def test_an_end_under_an_older_fence_than_the_row_is_stale() -> None:
    assert judged(rows=[replace(ROWS[0], fence=12), ROWS[1]]).stale == ["t1"]


def test_a_row_that_went_back_to_an_older_fence_is_stale() -> None:
    assert judged(rows=[replace(ROWS[0], fence=9), ROWS[1]]).stale == ["t1"]


def test_an_end_under_an_older_fence_than_an_execution_before_it_is_stale() -> None:
    found = judged(executions=[*EXECUTIONS, Execution("t1", 2, 12, 4.5)])
    assert found.stale == ["t1"]


def test_a_crash_that_another_recorded_is_not_stale() -> None:
    crashed = replace(RUNS[0], status="crashed", becomes=State.QUEUED, ended_by=12)
    again = replace(RUNS[0], fence=13, attempt=2)
    executions = [*EXECUTIONS, Execution("t1", 2, 13, 4.5)]
    found = judged(rows=[replace(ROWS[0], fence=13), ROWS[1]], runs=[crashed, again, RUNS[1]], executions=executions)
    assert broken(found) == set()
    assert found.doubled == []


def test_a_poisonous_end_counts_under_the_fence_that_wrote_it() -> None:
    poison = replace(RUNS[0], status="crashed", becomes=State.FAILED, ended_by=12)
    found = judged(rows=[Row("t1", "k1", State.FAILED, 12, 5, 5.0, "poison"), ROWS[1]], runs=[poison, RUNS[1]])
    assert broken(found) == set()
    assert found.dead_letters == {"poison": 1}


def test_an_execution_after_the_end_is_told_and_no_broken_promise() -> None:
    found = judged(executions=[*EXECUTIONS, Execution("t1", 2, 12, 5.5)])
    assert found.rerun == ["t1"]
    assert broken(found) == set()


def test_an_execution_that_no_record_explains_is_doubled_and_no_broken_promise() -> None:
    found = judged(executions=[Execution("t1", 1, 8, 3.0), *EXECUTIONS])
    assert found.doubled == ["t1"]
    assert broken(found) == set()


def test_first_starts_out_of_order_are_counted_for_one_worker() -> None:
    backwards = [replace(EXECUTIONS[0], at=5.2), EXECUTIONS[1]]
    assert judged(executions=EXECUTIONS, one_worker=True).inversions == 0
    assert judged(executions=backwards, one_worker=True).inversions == 1
    urgent = [ROWS[0], replace(ROWS[1], priority=0)]
    assert judged(rows=urgent, executions=backwards, one_worker=True).inversions == 0
    assert judged(executions=backwards).inversions is None


def test_a_campaign_that_does_not_drain_is_not_sound() -> None:
    assert not Verdict(1, judged(), 1.0, None, 0, (1.0, 2.0), {}, {}, 0, []).is_sound


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    struck = Record(4.2, "conductor", "fault", "inject", name="worker_killed", target="worker1", detail={"pid": 77})
    records = [*HISTORY, struck]
    with History(tmp_path / "history") as history:
        for record in records:
            history.note(record)
    assert read_history(tmp_path / "history") == records == history.records


def test_a_torn_line_of_the_sink_is_left_out() -> None:
    assert list(read_sink(["t1 1 10 4.1", "t2 1 1"])) == [EXECUTIONS[0]]
