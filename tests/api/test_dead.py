"""Dead letters: listed, counted by cause, run again."""

from app import shapes
from tests.api.door import Door, fail, succeed


async def bury(door: Door, *fingerprints: str) -> list[str]:
    ids = []
    for fingerprint in fingerprints:
        ids.append((await door.submit())["id"])
        await fail(door.runtime, fingerprint)
    return ids


async def test_dead_letters_are_listed_newest_first_and_narrowed(door: Door) -> None:
    ids = await bury(door, "f-1", "f-2", "f-1")
    await door.submit()
    await succeed(door.runtime)
    page = (await door.http.get("/dead", params={"limit": 2})).json()
    assert [task["id"] for task in page["items"]] == [ids[2], ids[1]]
    rest = (await door.http.get("/dead", params={"cursor": page["next_cursor"]})).json()
    assert [task["id"] for task in rest["items"]] == [ids[0]]
    narrowed = (await door.http.get("/dead", params={"fingerprint": "f-1"})).json()
    assert [task["id"] for task in narrowed["items"]] == [ids[2], ids[0]]
    assert (await door.http.get("/dead", params={"type": "other"})).json()["items"] == []


async def test_groups_count_by_cause_the_largest_first(door: Door) -> None:
    await bury(door, "f-1", "f-2", "f-2")
    groups = (await door.http.get("/dead", params={"group": "true"})).json()["items"]
    assert [(group["fingerprint"], group["count"]) for group in groups] == [("f-2", 2), ("f-1", 1)]
    assert set(groups[0]) == set(shapes.DeadGroup.model_fields)


async def test_replay_by_ids_leaves_what_is_no_dead_letter_alone(door: Door) -> None:
    (dead,) = await bury(door, "f-1")
    alive = (await door.submit())["id"]
    answer = await door.http.post("/dead/replay", json={"ids": [dead, alive]})
    assert (answer.status_code, answer.json()) == (200, {"replayed": 1})
    assert (await door.http.get(f"/tasks/{dead}")).json()["status"] == "queued"
    assert (await door.http.get("/dead")).json()["items"] == []


async def test_replay_by_filter_is_spread_out_at_the_rate(door: Door) -> None:
    ids = await bury(door, "f-1", "f-1", "f-1", "f-2")
    answer = await door.http.post("/dead/replay", json={"filter": {"fingerprint": "f-1"}, "rate_per_second": 1})
    assert answer.json() == {"replayed": 3}
    states = [(await door.http.get(f"/tasks/{task_id}")).json()["status"] for task_id in ids]
    assert sorted(states[:3]) == ["queued", "scheduled", "scheduled"]
    assert states[3] == "failed"
    assert (await door.http.post("/dead/replay", json={"filter": {}})).json() == {"replayed": 1}


async def test_another_tenant_s_dead_letters_are_out_of_reach(door: Door) -> None:
    (dead,) = await bury(door, "f-1")
    other = {"Aurea-Tenant": "other"}
    assert (await door.http.get("/dead", headers=other)).json()["items"] == []
    assert (await door.http.post("/dead/replay", json={"ids": [dead]}, headers=other)).json() == {"replayed": 0}
    assert (await door.http.post("/dead/replay", json={"filter": {}}, headers=other)).json() == {"replayed": 0}
