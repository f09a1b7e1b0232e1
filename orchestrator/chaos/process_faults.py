"""Faults of processes: they are killed, leave, stop and go on, or die by a task's hand."""

import asyncio
import signal

from orchestrator.chaos.faults import Fault, Stage

_LEASES_BLOCKED = 2


async def _kill(stage: Stage, name: str) -> None:
    stage.system.kill(name)


async def _start(stage: Stage, name: str) -> None:
    stage.system.start(name)


async def _stop(stage: Stage, name: str) -> None:
    stage.system.signal(name, signal.SIGSTOP)


async def _continue(stage: Stage, name: str) -> None:
    stage.system.signal(name, signal.SIGCONT)


async def _kill_while_stopped(stage: Stage, name: str) -> None:
    """It dies without a word to anybody who waits for it."""
    stage.system.signal(name, signal.SIGSTOP)
    await asyncio.sleep(0.2)
    stage.system.kill(name)


async def _leave(stage: Stage, name: str) -> None:
    await stage.system.leave(name)


async def _leave_in_haste(stage: Stage, name: str) -> None:
    stage.system.signal(name, signal.SIGTERM)
    await asyncio.sleep(0.1)
    await stage.system.leave(name)


async def _wish_poison(stage: Stage, _: str) -> None:
    stage.wishes.append({"type": "chaos_poison", "payload": {"hold_ms": 50}})


async def _wish_block(stage: Stage, _: str) -> None:
    stage.wishes.append(
        {"type": "chaos_block", "payload": {"hold_ms": 1000 * _LEASES_BLOCKED * stage.lease_seconds}, "priority": 0}
    )


PROCESS_FAULTS = [
    Fault("worker_killed", (1,), "worker", _kill, _start, weight=8),
    Fault("worker_killed_while_stopped", (4,), "worker", _kill_while_stopped, _start),
    Fault("worker_paused", (5, 6), "worker", _stop, _continue, hold_leases=(1.2, 2.5), weight=4),
    Fault("worker_paused_shortly", (5,), "worker", _stop, _continue, (0.1, 2.0)),
    Fault("worker_leaves", (9,), "worker", _leave, _start, weight=3),
    Fault("worker_leaves_in_haste", (10,), "worker", _leave_in_haste, _start),
    Fault("handler_blocks_the_loop", (7,), "worker", _wish_block, hold_leases=(2.0, 2.0), weight=1),
    Fault("handler_kills_its_process", (38,), "worker", _wish_poison, weight=1),
    Fault("api_killed", (11, 13), "api", _kill, _start, weight=3),
    Fault("api_leaves", (11,), "api", _leave, _start),
    Fault("api_paused", (11,), "api", _stop, _continue, (0.5, 3.0), weight=1),
    Fault("scheduler_killed", (37,), "scheduler", _kill, _start),
    Fault("scheduler_paused", (37,), "scheduler", _stop, _continue, (1.0, 8.0)),
]
