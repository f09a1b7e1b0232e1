"""Recovery is measured for each fault by itself, whatever else was broken at the time."""

import pytest

from orchestrator.chaos.checker import Row, RunRow
from orchestrator.chaos.history import Record
from orchestrator.chaos.recovery import Recovery, recoveries
from orchestrator.domain.states import State


def fault(name: str, began_at: float, healed_at: float, target: str = "worker1", pid: int = 0) -> list[Record]:
    begun = Record(began_at, "conductor", "fault", "inject", name=name, target=target, detail={"pid": pid})
    return [begun, Record(healed_at, "conductor", "fault", "heal", name=name, target=target)]


def ended(*moments: float) -> list[Row]:
    return [Row(f"t{at}", "k", State.SUCCEEDED, 1, 5, at) for at in moments]


def attempts(*, crashed_pid: int, begun_at: float) -> list[RunRow]:
    """A task that a killed worker ran, and another took over."""
    return [
        RunRow("t1", 1, 1, "crashed", State.QUEUED, f"worker-a-host-{crashed_pid}-ab", 1.0, 2),
        RunRow("t1", 3, 2, "succeeded", State.SUCCEEDED, "worker-a-host-99-ab", begun_at, None),
        RunRow("t2", 4, 1, "succeeded", State.SUCCEEDED, "worker-a-host-99-ab", 50.0, None),
    ]


def test_it_lasts_from_the_healing_to_the_first_end_after_it() -> None:
    records = [*fault("redis_paused", 1.0, 4.5, "redis"), *fault("redis_paused", 6.0, 6.5, "redis")]
    [found] = recoveries(records, ended(4.0, 4.6, 8.5), [])
    assert found == Recovery("redis_paused", 2, pytest.approx(1.05), 2.0, None)


def test_a_fault_that_nothing_ended_after_says_nothing() -> None:
    assert recoveries(fault("redis_paused", 1.0, 4.5, "redis"), ended(4.0), []) == []


def test_a_fault_that_was_left_out_says_nothing() -> None:
    begun, _ = fault("api_killed", 1.0, 2.0)
    skipped = Record(2.0, "conductor", "fault", "skip", name="api_killed", target="worker1")
    assert recoveries([begun, skipped], ended(4.0), []) == []


def test_the_time_in_which_a_store_was_away_does_not_count_for_others() -> None:
    records = [*fault("api_killed", 1.0, 3.0, "api1"), *fault("redis_down", 2.0, 9.0, "redis")]
    records += fault("postgres_down", 8.0, 12.0, "postgres")
    found = {each.fault: each.worst_seconds for each in recoveries(records, ended(12.5), [])}
    assert found == {"api_killed": 0.5, "redis_down": 0.5, "postgres_down": 0.5}


def test_a_kill_lasts_until_its_task_was_begun_elsewhere() -> None:
    killed = fault("worker_killed", 10.0, 10.2, pid=77)
    [found] = recoveries(killed, ended(11.0), attempts(crashed_pid=77, begun_at=14.5))
    assert found.elsewhere_seconds == 4.5
    [other] = recoveries(killed, ended(11.0), attempts(crashed_pid=78, begun_at=14.5))
    assert other.elsewhere_seconds is None


@pytest.mark.parametrize("target", ["redis", "scheduler1"])
def test_a_kill_whose_tasks_could_not_be_taken_over_says_nothing_of_that(target: str) -> None:
    records = [*fault("worker_killed", 10.0, 10.2, pid=77), *fault("killed", 12.0, 13.0, target)]
    found = recoveries(records, ended(20.0), attempts(crashed_pid=77, begun_at=14.5))
    assert {each.elsewhere_seconds for each in found} == {None}


def test_outages_with_no_pause_between_them_count_as_one() -> None:
    records = [*fault("redis_killed", 1.0, 2.0, "redis"), *fault("both_down", 2.5, 6.0, "both")]
    found = {each.fault: each.worst_seconds for each in recoveries(records, ended(6.25), [])}
    assert found == {"redis_killed": 0.25, "both_down": 0.25}
