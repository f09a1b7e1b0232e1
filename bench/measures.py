"""What is measured of a contestant. Every measure begins on fresh servers and names its figures.

A figure that a contestant has no means for is left out: only some have a bulk call.
"""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench.footprint import cpu_seconds, memory_mb
from bench.settlement import require_kept, settled_at
from bench.stage import Failure, Stage

Figures = dict[str, float]

WARM_UP = 100
NAPS = 4_000
NAP_SECONDS = 0.05
NAPS_AT_ONCE = 100
PACED = 600
PACE_PER_SECOND = 200


@dataclass(frozen=True)
class Drain:
    """The span of a drain in which every worker worked; in a very short one, from the first execution on."""

    began_at: float
    ended_at: float
    executed: int
    cpu_seconds: dict[str, float]
    memory_mb: float

    @property
    def per_second(self) -> float:
        return self.executed / (self.ended_at - self.began_at)

    def cpu_per_1000(self, part: str) -> float:
        return self.cpu_seconds[part] / self.executed * 1000


def submit_and_drain(stage: Stage, tasks: int) -> Figures:
    """Submit a fifth one by one and the rest in bulk, then let one worker drain them."""
    singly = max(1_000, tasks // 5)
    figures = {"send_per_s": singly / stage.ask("send", "nothing", singly)}
    seconds = stage.ask("fill", "nothing", tasks - singly)
    if stage.contestant.has_bulk:
        figures["fill_per_s"] = (tasks - singly) / seconds
    drained = drain(stage, tasks, workers=1)
    return figures | {
        "drain_per_s": drained.per_second,
        "worker_cpu": drained.cpu_per_1000("worker"),
        "postgres_cpu": drained.cpu_per_1000("postgres"),
        "valkey_cpu": drained.cpu_per_1000("valkey"),
        "memory_mb": drained.memory_mb,
    }


def drain_by_two(stage: Stage, tasks: int) -> Figures:
    """The same drain by two worker processes."""
    stage.ask("fill", "nothing", tasks)
    return {"drain_two_per_s": drain(stage, tasks, workers=2).per_second}


def idle_latency(stage: Stage) -> Figures:
    """From just before the submitting call to the first line of the task, the worker having nothing else.

    The call of the Redis peers is one write to Redis. Ours is held to the same, for tasks whose rows are committed;
    `submit` is the whole of it, with the commit.
    """
    with stage.process("work", "drain"):
        stage.ask("send", "nothing", WARM_UP)
        stage.watch(lambda: stage.tally.find() >= WARM_UP, "the worker is warm")
        time.sleep(1)
        if stage.contestant.is_ours:
            stage.ask("pace_queue", PACED, PACE_PER_SECOND)
        stage.ask("pace", PACED, PACE_PER_SECOND)
        paced = 2 * PACED if stage.contestant.is_ours else PACED
        stage.watch(lambda: stage.tally.count() >= WARM_UP + paced, "all were executed")
    waits = stage.tally.waits_ms()
    figures = _percentiles("latency", waits[:PACED])
    return figures | _percentiles("submit", waits[PACED:]) if stage.contestant.is_ours else figures


def _percentiles(name: str, waits_ms: list[float]) -> Figures:
    cuts = statistics.quantiles(waits_ms, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p99_ms": cuts[98]}


def naps(stage: Stage) -> Figures:
    """Tasks that only wait 50 ms, 100 at once: the share of what the arithmetic allows."""
    stage.ask("fill", "nap", NAPS)
    with stage.process("work", "nap"):
        # Counted as they end: the first ones began a nap before.
        began_at = stage.watch(lambda: stage.tally.find() > 0, "the first task ran") - NAP_SECONDS
        ended_at = stage.watch(lambda: stage.tally.count() >= NAPS, "all were executed")
    return {"nap_share": NAPS / (ended_at - began_at) * NAP_SECONDS / NAPS_AT_ONCE}


def http_submit(stage: Stage, tasks: int) -> Figures:
    """Submit to one API process over HTTP, one task a request and 100 a request."""
    singly = max(1_000, tasks // 5)
    with stage.process("api"):
        figures = {
            "post_per_s": singly / stage.ask("post", singly),
            "post_batch_per_s": tasks / stage.ask("post_batch", tasks),
        }
    require_kept(stage, "queued", singly + tasks)
    return figures


def drain(stage: Stage, tasks: int, workers: int, kind: str = "drain") -> Drain:
    """Let workers of this kind drain what was submitted. Raises Failure when ours lost one or ran one twice."""
    servers = {"postgres": stage.servers.postgres_pid, "valkey": stage.servers.valkey_pid}
    with ExitStack() as stack:
        pids = [stack.enter_context(stage.process("work", kind)) for _ in range(workers)]

        def spent() -> dict[str, float]:
            return {"worker": cpu_seconds(*pids)} | {name: cpu_seconds(pid) for name, pid in servers.items()}

        began_at = stage.watch(lambda: stage.tally.busy() > 0, "the first task ran")
        before, already = spent(), 0
        # Two that start together do not import at the same pace: the span begins when both work.
        both_at = stage.watch(lambda: stage.tally.busy() >= workers or _half_done(stage, tasks), "all workers ran")
        if not _half_done(stage, tasks):
            began_at, before, already = both_at, spent(), stage.tally.count()
        ended_at = stage.watch(lambda: stage.tally.count() >= tasks, "all were executed")
        if stage.contestant.is_ours:
            ended_at = settled_at(stage, tasks)
        after, memory = spent(), memory_mb(*pids)
    executed = stage.tally.find()
    if executed > tasks and stage.contestant.is_ours:
        raise Failure(f"{executed} executions of {tasks} tasks, and nobody died")
    return Drain(began_at, ended_at, tasks - already, {part: after[part] - before[part] for part in after}, memory)


def _half_done(stage: Stage, tasks: int) -> bool:
    return stage.tally.count() > tasks / 2
