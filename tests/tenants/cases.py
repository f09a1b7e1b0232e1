"""Every way in which a route can be given a name of something: an id, a key, a cursor, a place, a word, a queue.

A new route has no case until somebody thinks about it; `test_every_route_has_its_cases` asks for that.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.states import State


@dataclass(frozen=True)
class Names:
    """What one tenant could name of another's things, or of nobody's."""

    own: str
    """A task of the caller's."""
    own_subscription: str
    task: str
    file: str
    subscription: str
    told_task: str
    """That tells a subscription of something."""
    delivery: str
    api_key: str
    key: str
    word: str
    queue: str

    @property
    def told(self) -> tuple[str, ...]:
        """What an answer may repeat."""
        things = (self.file, self.subscription, self.told_task, self.delivery, self.api_key)
        return (self.task.upper(), self.task, *things, self.key, self.word, self.queue)


Request = tuple[str, str, dict[str, Any]]
Case = Callable[[Names], Request]

PLACE = "68719476737000001"
"""Of an event: a number, and so nobody's."""


def cursor(task_id: str) -> str:
    return base64.urlsafe_b64encode(task_id.encode()).decode().rstrip("=")


def get(path: str, **parameters: str) -> Case:
    return lambda names: ("GET", _filled(path, names), {"params": _each(parameters, names)})


def post(path: str, body: Callable[[Names], Any] = lambda _: None, **headers: str) -> Case:
    def case(names: Names) -> Request:
        sent, content = _each(headers, names), body(names)
        given = {"headers": {name.replace("_", "-"): value for name, value in sent.items()}}
        return "POST", _filled(path, names), given | ({} if content is None else {"json": content})

    return case


def _filled(text: str, names: Names) -> str:
    filled = {**vars(names), "upper": names.task.upper(), "cursor": cursor(names.task), "place": PLACE}
    return text.format(**filled, files=cursor(names.file))


def _each(given: dict[str, str], names: Names) -> dict[str, str]:
    return {name: _filled(value, names) for name, value in given.items()}


CREATED = frozenset({"tasks_create", "tasks_create_batch"})
"""Their answers name a new task, so its id and its moments differ."""

PLAIN = frozenset(
    {
        "queues_list", "handlers_list", "budget_show", "budget_set", "workers_list", "agents_count", "metrics_scrape",
        "keys_create", "subscriptions_create", "callbacks_rotate", "tenants_list", "tenants_show", "tenants_set",
    }
)  # fmt: skip
"""They are given no name; what they tell must be free of another tenant's."""

CASES: dict[str, list[Case]] = {
    # What reads comes first: it tells of all that is there, as it was made.
    "tasks_list": [
        get("/tasks"),
        get("/tasks", cursor="{cursor}"),
        get("/tasks", parent_id="{task}"),
        get("/tasks", q="{word}"),
        get("/tasks", tag="team:{word}"),
        get("/tasks", tag="{word}:x"),
        get("/tasks", type="{word}"),
        get("/tasks", queue="{queue}"),
        *[get("/tasks", status=state.value, limit="1") for state in State],
    ],
    "tasks_show": [get("/tasks/{task}"), get("/tasks/{upper}")],
    "tasks_runs": [get("/tasks/{task}/runs")],
    "tasks_logs": [get("/tasks/{task}/logs"), get("/tasks/{task}/logs", after="{place}", limit="1")],
    "tasks_steps": [get("/tasks/{task}/steps")],
    "tasks_artifacts": [
        get("/tasks/{task}/artifacts"),
        get("/tasks/{task}/artifacts", cursor="{files}"),
        get("/tasks/{own}/artifacts", cursor="{files}"),
    ],
    "tasks_artifact": [get("/tasks/{task}/artifacts/{file}"), get("/tasks/{own}/artifacts/{file}")],
    "tasks_why": [get("/tasks/{task}/why")],
    "stream_follow": [
        get("/stream/{task}"),
        get("/stream/{task}", last_event_id="{place}"),
        lambda names: ("GET", f"/stream/{names.task}", {"headers": {"Last-Event-ID": PLACE}}),
    ],
    "dead_list": [
        get("/dead"),
        get("/dead", cursor="{cursor}"),
        get("/dead", fingerprint="{word}"),
        get("/dead", type="{word}"),
        get("/dead", group="true"),
    ],
    "dead_replay": [
        post("/dead/replay", lambda names: {"ids": [names.task]}),
        post("/dead/replay", lambda names: {"ids": [names.task, names.own], "rate_per_second": 1}),
        post("/dead/replay", lambda names: {"filter": {"fingerprint": names.word}}),
        post("/dead/replay", lambda names: {"filter": {"type": "greet", "fingerprint": names.word}}),
    ],
    "keys_list": [get("/keys"), get("/keys", cursor="{cursor}")],
    "subscriptions_list": [get("/subscriptions")],
    "subscriptions_show": [get("/subscriptions/{subscription}")],
    "subscriptions_deliveries": [
        get("/subscriptions/{subscription}/deliveries"),
        get("/subscriptions/{own_subscription}/deliveries"),
        get("/subscriptions/{own_subscription}/deliveries", cursor="{cursor}"),
    ],
    "deliveries_list": [
        get("/deliveries"),
        get("/deliveries", cursor="{cursor}"),
        get("/deliveries", source="{word}"),
        get("/deliveries", event="{word}"),
    ],
    "deliveries_show": [get("/deliveries/{delivery}")],
    "audit_list": [
        get("/audit", action="tasks_create", target="{task}"),
        get("/audit", action="subscriptions_create", target="{subscription}"),
        get("/audit", actor="{word}"),
    ],
    "tenants_list": [get("/tenants")],
    "tenants_show": [get("/tenants/theirs")],
    "tenants_set": [lambda _: ("PUT", "/tenants/theirs", {"json": {"running": 1}})],
    "queues_list": [get("/queues")],
    "queues_pause": [post("/queues/{queue}/pause")],
    "queues_resume": [post("/queues/{queue}/resume")],
    "handlers_list": [get("/handlers")],
    "budget_show": [get("/budget")],
    "budget_set": [lambda _: ("PUT", "/budget", {"json": {"usd_per_day": 5}})],
    "workers_list": [get("/workers")],
    "agents_count": [get("/agents/count")],
    "metrics_scrape": [get("/metrics")],
    "keys_create": [post("/keys", lambda _: {"name": "mine", "scopes": ["tasks:read"]})],
    "keys_rotate": [post("/keys/{api_key}/rotate", lambda _: {"overlap_seconds": 60})],
    "keys_revoke": [lambda names: ("DELETE", f"/keys/{names.api_key}", {})],
    "callbacks_rotate": [post("/callbacks/secret")],
    "subscriptions_create": [post("/subscriptions", lambda _: {"url": "https://example.com/mine"})],
    "subscriptions_enable": [post("/subscriptions/{subscription}/enable")],
    "subscriptions_rotate": [post("/subscriptions/{subscription}/rotate")],
    "subscriptions_test": [post("/subscriptions/{subscription}/test")],
    "subscriptions_replay": [
        post("/subscriptions/{subscription}/replay", lambda _: {"since": "2026-01-01T00:00:00Z"}),
        post("/subscriptions/{own_subscription}/replay", lambda names: {"ids": [names.told_task]}),
        post("/subscriptions/{own_subscription}/replay", lambda names: {"ids": [names.task]}),
    ],
    "subscriptions_delete": [lambda names: ("DELETE", f"/subscriptions/{names.subscription}", {})],
    "deliveries_redeliver": [post("/deliveries/{delivery}/redeliver")],
    "tasks_cancel": [post("/tasks/{task}/cancel")],
    "tasks_retry": [
        post("/tasks/{task}/retry"),
        post("/tasks/{task}/retry", lambda names: {"from_step": names.word}),
        post("/tasks/{task}/retry", lambda _: {"start_over": True}),
        post("/tasks/{own}/retry", lambda names: {"from_step": names.word}),
    ],
    "tasks_create": [
        post("/tasks", lambda names: {"type": "greet", "idempotency_key": names.key}),
        post("/tasks", lambda _: {"type": "greet"}, Idempotency_Key="{key}-header"),
        post("/tasks", lambda names: {"type": "greet", "idempotency_key": names.key, "priority": 1}),
    ],
    "tasks_create_batch": [
        post("/tasks/batch", lambda names: {"tasks": [{"type": "greet", "idempotency_key": f"{names.key}-batch"}]}),
        post("/tasks/batch", lambda names: {"tasks": [{"type": "greet", "idempotency_key": names.key, "priority": 1}]}),
    ],
}
