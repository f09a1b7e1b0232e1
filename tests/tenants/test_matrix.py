"""Another tenant's things answer exactly like things that do not exist, and each of the two walls sees to it alone."""

import httpx2
import pytest
import redis
from structlog.testing import capture_logs

from app import deps
from app.access import NEEDED
from orchestrator.domain.principal import USER_SCOPES, Kind, Principal
from orchestrator.domain.subscription import DELIVERIES
from tests.tenants.cases import CASES
from tests.tenants.matrix import leaks
from tests.tenants.without import take_filters, take_row_level_security
from tests.tenants.world import MINE, QUEUE, THEIRS, World


def test_every_route_has_its_cases() -> None:
    assert set(CASES) == set(NEEDED), "think of every way to name something in it, and write them into CASES"


async def own_answers(world: World) -> list[int]:
    """How the owner is answered: nobody is shut out of his own."""
    task, file = world.mine["succeeded"], world.things[MINE].file
    paths = ["", "/runs", "/logs", "/steps", "/artifacts", f"/artifacts/{file}", "/why"]
    answers = [await world.ask(MINE, "GET", f"/tasks/{task}{path}") for path in paths]
    answers += [await world.ask(MINE, "GET", path) for path in (f"/stream/{task}", "/tasks", "/dead", "/budget")]
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("taken", ["nothing", "our filters", "row level security"])
async def test_no_byte_of_theirs_leaks_through_either_wall(
    world: World, redis_admin: redis.Redis, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    if taken == "our filters":
        assert len(take_filters(monkeypatch)) >= 20
    if taken == "row level security":
        take_row_level_security(monkeypatch)
    states = world.theirs if taken == "nothing" else ("running", "succeeded", "failed")
    before = await world.of(THEIRS, redis_admin)
    assert await own_answers(world) == [200] * 11
    assert await leaks(world, states) == []
    assert await world.of(THEIRS, redis_admin) == before


async def test_queues_that_tenants_named_are_shown_to_who_sees_the_system(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(answer: httpx2.Response) -> set[str]:
        return {queue["name"] for queue in answer.json()["items"]}

    assert f"{QUEUE}-queued" in names(await world.ask(MINE, "GET", "/queues"))
    monkeypatch.setattr(deps, "admin", lambda tenant: Principal(tenant, Kind.USER, "user-1", USER_SCOPES))
    assert names(await world.ask(MINE, "GET", "/queues")) == {"default", DELIVERIES}


async def test_without_both_walls_the_matrix_finds_leaks_in_every_route_that_names_tasks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_filters(monkeypatch)
    take_row_level_security(monkeypatch)
    monkeypatch.setattr("tests.tenants.matrix._PATIENCE_SECONDS", 0.3)
    with capture_logs():  # some of it ends as an error of ours, with all that there is to say
        found = await leaks(world, ("succeeded", "failed"))
    leaking = {line.split(" ")[0] for line in found}
    blind = {"handlers_list", "queues_list", "queues_pause", "queues_resume", "agents_count", "metrics_scrape"}
    nameless = {"budget_show", "budget_set", "keys_create", "subscriptions_create", "callbacks_rotate"}
    guarded = {
        "keys_rotate",
        "tenants_list",
        "tenants_show",
        "tenants_set",
    }  # by the operation itself, and by their scope
    assert leaking == set(CASES) - blind - nameless - guarded
