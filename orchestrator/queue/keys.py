"""The only place that spells a Redis key.

A key that carries an id is also handed to scripts as a prefix, because a script learns most ids only while it
runs. On a cluster the namespace is a hash tag, so a prefix and all keys made from it live on one shard.
"""

from hashlib import sha256

from orchestrator.domain.ids import TaskId, Tenant, WorkerId
from orchestrator.domain.task import DEFAULT_QUEUE

_NAME_DIGITS = 32


def key_name(tenant: Tenant, idempotency_key: str) -> str:
    """Name an idempotency key in a key of Redis, whatever it is made of."""
    return sha256(f"{tenant}\0{idempotency_key}".encode()).hexdigest()[:_NAME_DIGITS]


class Keys:
    """Every key of one namespace; attributes are whole keys or prefixes, methods complete a prefix."""

    def __init__(self, namespace: str = "aurea") -> None:
        self.queue_prefix = f"{namespace}:queue"
        """Sorted sets id -> score: what may be popped. The default queue has the bare name."""
        self.pending_prefix = f"{namespace}:pending"
        """Sorted sets id -> score: what nobody has leased."""
        self.scheduled = f"{namespace}:scheduled"
        """Sorted set id -> due moment in µs."""
        self.leases = f"{namespace}:leases"
        """Sorted set id -> deadline in ms."""
        self.tasks = f"{namespace}:tasks:"
        """Hashes: all that a worker needs of a task, and how it stands."""
        self.lock = f"{namespace}:lock:"
        """Strings with a time to live: `{worker}:{fence}`, or `dropped`."""
        self.epoch = f"{namespace}:epoch"
        """Hash epoch, counter, server: what fences are made of."""
        self.tick = f"{namespace}:tick"
        """The last moment given to a task that was ready at once."""
        self.queues = f"{namespace}:queues"
        self.paused = f"{namespace}:paused"
        """Sets of queue names."""
        self.control = f"{namespace}:control"
        """Channel: what every worker has to hear."""
        self.live = f"{namespace}:live:"
        """Channels: what happens to one task."""
        self.log_prefix = f"{namespace}:log:"
        self.outbox = f"{namespace}:outbox"
        """Stream: what was written while Postgres was away, in order."""
        self.key_prefix = f"{namespace}:key:"
        """Strings with a time to live: who holds an idempotency key, as keyhold.lua reads it."""
        self.steps_prefix = f"{namespace}:steps:"
        """Hashes name -> JSON: results of steps that went to the outbox."""
        self.quota = f"{namespace}:quota"
        """Behind it: what counts against the limits of tenants, and the tasks that are held by them."""
        self.rate = f"{namespace}:rate:"
        """Strings with a time to live: the moment of a rate in µs, as domain.rate has it."""
        self.counters_prefix = f"{namespace}:counters:"
        self.workers = f"{namespace}:workers"
        self.leader = f"{namespace}:leader"
        self._worker, self._api_keys = f"{namespace}:worker:", f"{namespace}:apikeys:"

    @property
    def order(self) -> tuple[str, ...]:
        """What the scripts that put tasks in order are given first."""
        return (
            self.queue_prefix, self.pending_prefix, self.scheduled, self.queues, self.epoch, self.tick, self.control,
            self.tasks, self.lock, self.leases, self.quota,
        )  # fmt: skip

    @property
    def claiming(self) -> tuple[str, ...]:
        """What the script that claims is given."""
        return (
            self.queue_prefix, self.pending_prefix, self.leases, self.epoch, self.paused, self.tasks, self.lock,
            self.live, self.quota,
        )  # fmt: skip

    def queue(self, name: str) -> str:
        return self.queue_prefix if name == DEFAULT_QUEUE else f"{self.queue_prefix}:{name}"

    def pending(self, name: str) -> str:
        return self.pending_prefix if name == DEFAULT_QUEUE else f"{self.pending_prefix}:{name}"

    def queue_name(self, key: bytes) -> str:
        """Return the queue whose key this is."""
        return key.decode()[len(self.queue_prefix) + 1 :] or DEFAULT_QUEUE

    def task(self, task_id: TaskId) -> str:
        return f"{self.tasks}{task_id}"

    def log(self, task_id: TaskId) -> str:
        return f"{self.log_prefix}{task_id}"

    def steps(self, task_id: TaskId) -> str:
        return f"{self.steps_prefix}{task_id}"

    def channel(self, task_id: TaskId) -> str:
        return f"{self.live}{task_id}"

    def worker(self, worker: WorkerId) -> str:
        return f"{self._worker}{worker}"

    def counters(self, family: str) -> str:
        return f"{self.counters_prefix}{family}"

    def api_keys(self, what: str) -> str:
        """Hashes by the ids of API keys: `known` copies, `ended` moments, and those `owed` to Postgres."""
        return f"{self._api_keys}{what}"
