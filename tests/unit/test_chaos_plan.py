"""Plans and load are drawn by the seed alone."""

from orchestrator.chaos.catalogue import CATALOGUE
from orchestrator.chaos.faults import Strike, clash, expected_seconds, plan
from orchestrator.chaos.load import Groups

NAMES = ["api1", "api2", "scheduler1", "worker1", "worker2"]


def drawn(seed: int, strikes: int = 200) -> list[Strike]:
    return plan(CATALOGUE, NAMES, seed=seed, strikes=strikes, spacing_seconds=1.0, lease_seconds=3.0)


def test_a_seed_gives_one_plan_and_another_seed_another() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_every_kind_comes_once_before_any_comes_twice() -> None:
    first = [strike.fault.name for strike in drawn(7)[: len(CATALOGUE)]]
    assert sorted(first) == sorted(fault.name for fault in CATALOGUE)
    assert len(drawn(7, 10)) == 10


def test_names_are_unique_and_rows_are_those_of_the_matrix() -> None:
    assert len({fault.name for fault in CATALOGUE}) == len(CATALOGUE)
    assert {row for fault in CATALOGUE for row in fault.rows} <= set(range(1, 43))


def test_strikes_hit_what_they_name() -> None:
    for strike in drawn(7):
        if strike.fault.target in ("postgres", "redis", "both"):
            assert strike.target == strike.fault.target
        elif strike.fault.target == "client":
            assert strike.target in ("api1", "api2")
        else:
            assert strike.target.startswith(strike.fault.target)


def test_redis_forgets_only_while_everybody_has_postgres() -> None:
    forgetting = [strike for strike in drawn(7) if strike.fault.amnesia]
    others = [strike for strike in drawn(7) if not strike.fault.amnesia]
    for other in others:
        detours = "postgres" in other.fault.name or other.target in ("postgres", "redis", "both")
        assert [clash(strike, other) for strike in forgetting] == [detours] * len(forgetting), other.fault.name
    assert len(forgetting) >= 2


def test_two_strikes_on_one_thing_clash() -> None:
    one, other = drawn(7)[:2]
    assert clash(one, one)
    assert clash(one, other) is (one.target == other.target)
    [dying] = [fault for fault in CATALOGUE if fault.name == "sweeper_dies_taking_over"]
    [leaving] = [fault for fault in CATALOGUE if fault.name == "scheduler_killed"]
    assert clash(Strike(dying, "worker1", 1.0, 1.0), Strike(leaving, "scheduler1", 1.0, 1.0))


def test_a_seed_gives_one_load_with_a_key_for_each_task() -> None:
    groups = Groups(seed=7, tasks=500, lease_seconds=3.0, others={})
    tasks = [task for group in groups for task in group]
    assert tasks == [task for group in groups for task in group]
    assert len({task["idempotency_key"] for task in tasks}) == len(tasks) == 500
    assert {task["type"] for task in tasks} == {"chaos"}


def test_every_second_task_is_of_the_user_s_own_handlers() -> None:
    groups = Groups(seed=7, tasks=100, lease_seconds=3.0, others={"mine": b'{"a":1}'})
    assert sum(task["type"] == "mine" for group in groups for task in group) == 50


def test_the_length_of_a_plan_counts_what_has_to_wait_for_each_other() -> None:
    [pause] = [fault for fault in CATALOGUE if fault.name == "redis_paused"]
    [kill] = [fault for fault in CATALOGUE if fault.name == "worker_killed"]
    alone = [Strike(pause, "redis", 10.0, 1.0)]
    assert 11.0 < expected_seconds(alone) < 13.0
    assert 22.0 < expected_seconds(alone * 2) < 25.0
    assert 13.0 < expected_seconds([*alone, Strike(kill, "worker1", 10.0, 2.0)]) < 14.0
    crowd = [Strike(kill, f"worker{number}", 10.0, 0.0) for number in range(6)]
    assert 20.0 < expected_seconds(crowd) < 22.0
    assert expected_seconds([]) == 0.0
