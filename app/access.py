"""Which scope each operation needs. What is not listed here is refused, to admins too.

The names are the operations' ids in `/openapi.json`.
"""

from collections.abc import Mapping

from orchestrator.domain.principal import Scope

OPEN = frozenset({"health_show", "health_live", "health_ready", "webhooks_receive", "pages_docs", "pages_openapi"})
"""Without a token: probes, webhooks, whose signature stands for it, and what describes the API."""

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
    "deliveries_list": Scope.HOOKS_WRITE,
    "deliveries_show": Scope.HOOKS_WRITE,
    "deliveries_redeliver": Scope.HOOKS_WRITE,
    "queues_list": Scope.TASKS_READ,
    "queues_pause": Scope.QUEUES_WRITE,
    "queues_resume": Scope.QUEUES_WRITE,
    "handlers_list": Scope.TASKS_READ,
    "budget_show": Scope.BUDGET_READ,
    "budget_set": Scope.BUDGET_WRITE,
    "keys_create": Scope.KEYS_WRITE,
    "keys_list": Scope.KEYS_WRITE,
    "keys_revoke": Scope.KEYS_WRITE,
    "keys_rotate": Scope.KEYS_WRITE,
    "subscriptions_create": Scope.HOOKS_WRITE,
    "subscriptions_list": Scope.HOOKS_WRITE,
    "subscriptions_show": Scope.HOOKS_WRITE,
    "subscriptions_delete": Scope.HOOKS_WRITE,
    "subscriptions_enable": Scope.HOOKS_WRITE,
    "subscriptions_rotate": Scope.HOOKS_WRITE,
    "subscriptions_deliveries": Scope.HOOKS_WRITE,
    "subscriptions_replay": Scope.HOOKS_WRITE,
    "subscriptions_test": Scope.HOOKS_WRITE,
    "callbacks_rotate": Scope.HOOKS_WRITE,
    "audit_list": Scope.AUDIT_READ,
    "tenants_list": Scope.ADMIN,
    "tenants_show": Scope.ADMIN,
    "tenants_set": Scope.ADMIN,
    "workers_list": Scope.SYSTEM_READ,
    "agents_count": Scope.SYSTEM_READ,
    "metrics_scrape": Scope.SYSTEM_READ,
}
