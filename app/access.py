"""Which scope each operation needs. What is not listed here is refused, to admins too.

The names are the operations' ids in `/openapi.json`.
"""

from collections.abc import Mapping

from orchestrator.domain.principal import Scope

OPEN = frozenset({"health_show", "health_live", "health_ready", "webhooks_receive"})
"""Without a token: probes, and webhooks, whose signature stands for it."""

NEEDED: Mapping[str, Scope] = {
    "tasks_create": Scope.TASKS_WRITE,
    "tasks_create_batch": Scope.TASKS_WRITE,
    "tasks_list": Scope.TASKS_READ,
    "tasks_show": Scope.TASKS_READ,
    "tasks_cancel": Scope.TASKS_CANCEL,
    "tasks_retry": Scope.TASKS_WRITE,
    "tasks_runs": Scope.TASKS_READ,
    "tasks_logs": Scope.TASKS_READ,
    "tasks_steps": Scope.TASKS_READ,
    "tasks_artifacts": Scope.TASKS_READ,
    "tasks_artifact": Scope.TASKS_READ,
    "tasks_why": Scope.TASKS_READ,
    "stream_follow": Scope.TASKS_READ,
    "dead_list": Scope.TASKS_READ,
    "dead_replay": Scope.DEAD_REPLAY,
    "queues_list": Scope.TASKS_READ,
    "queues_pause": Scope.QUEUES_WRITE,
    "queues_resume": Scope.QUEUES_WRITE,
    "handlers_list": Scope.TASKS_READ,
    "budget_show": Scope.BUDGET_READ,
    "budget_set": Scope.BUDGET_WRITE,
    "tenants_show": Scope.ADMIN,
    "tenants_set": Scope.ADMIN,
    "workers_list": Scope.SYSTEM_READ,
    "agents_count": Scope.SYSTEM_READ,
    "metrics_scrape": Scope.SYSTEM_READ,
}
