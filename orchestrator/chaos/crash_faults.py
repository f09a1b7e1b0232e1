"""Faults at named points: a process is started anew with a crash point armed, and dies there by its own hand."""

import asyncio
from collections.abc import Sequence

from orchestrator.chaos.faults import APIS, SCHEDULERS, Act, Fault, NotNow, Stage, Target
from orchestrator.chaos.system import until

_WITHIN_SECONDS = 8.0
_PASS = 5
_OUTBOX_SECONDS = 1.5
"""What the outbox gets to fill."""


async def _arm(stage: Stage, names: Sequence[str], point: str) -> None:
    for name in names:
        stage.system.kill(name)
        stage.system.start(name, AUREA_CRASH_AT=point)
        stage.system.kept_down.add(name)


async def _arm_schedulers(stage: Stage, point: str) -> None:
    """They step down first: a lead that was not given up would have to run out."""
    for name in SCHEDULERS:
        await stage.system.leave(name)
        stage.system.start(name, AUREA_CRASH_AT=point)
        stage.system.kept_down.add(name)


async def _one_dies(stage: Stage, names: Sequence[str], within_seconds: float) -> None:
    """Return when one of them did. Raises NotNow after the bound."""

    async def died() -> bool:
        return any(stage.system.processes[name].poll() is not None for name in names)

    try:
        await until(died, within_seconds)
    except TimeoutError:
        raise NotNow(f"nobody was there within {within_seconds:.0f} s") from None


async def _disarm(stage: Stage, names: Sequence[str]) -> None:
    for name in names:
        stage.system.kill(name)
        stage.system.start(name)


def _or_as_before(inject: Act, heal: Act) -> Act:
    """When nobody died after all, everything is healed before that is told."""

    async def act(stage: Stage, name: str) -> None:
        try:
            await inject(stage, name)
        except NotNow:
            await heal(stage, name)
            raise

    return act


def _dies_at(target: Target, point: str, row: int) -> Fault:
    """At a later pass, in the midst of ordinary work."""

    async def inject(stage: Stage, name: str) -> None:
        await _arm(stage, [name], f"{point}:{_PASS}")
        await _one_dies(stage, [name], _WITHIN_SECONDS)

    async def heal(stage: Stage, name: str) -> None:
        await _disarm(stage, [name])

    return Fault(
        f"{target}_dies_{point}", (row,), target, _or_as_before(inject, heal), heal, takes_seconds=3.0, weight=1
    )


async def _die_accepted(stage: Stage, _: str) -> None:
    """An API dies between the outbox and its answer, while Postgres is away."""
    await stage.stores.stop("postgres")
    await _arm(stage, APIS[1:], "accepted:2")
    await _one_dies(stage, APIS[1:], _WITHIN_SECONDS)


async def _heal_accepted(stage: Stage, _: str) -> None:
    await stage.stores.start("postgres")
    await _disarm(stage, APIS[1:])


async def _die_relayed(stage: Stage, _: str) -> None:
    """A relay dies between its commit and the removal from the outbox."""
    await _arm_schedulers(stage, "relayed")
    await stage.stores.stop("postgres")
    await asyncio.sleep(_OUTBOX_SECONDS)
    await stage.stores.start("postgres")
    await _one_dies(stage, SCHEDULERS, _WITHIN_SECONDS)


async def _die_taking_over(stage: Stage, name: str) -> None:
    """A worker dies, and the sweeper that has taken over its leases dies before it wrote that."""
    await _arm_schedulers(stage, "taken_over")
    stage.system.kill(name)
    await _one_dies(stage, SCHEDULERS, stage.lease_seconds + _WITHIN_SECONDS / 2)


async def _heal_relayed(stage: Stage, _: str) -> None:
    await _disarm(stage, SCHEDULERS)


async def _heal_taking_over(stage: Stage, name: str) -> None:
    stage.system.start(name)
    await _disarm(stage, SCHEDULERS)


CRASH_FAULTS = [
    _dies_at("worker", "popped", 2),
    _dies_at("worker", "claimed", 2),
    _dies_at("worker", "recorded", 1),
    _dies_at("api", "inserted", 12),
    _dies_at("api", "enqueued", 13),
    Fault(
        "api_dies_accepted",
        (13, 26),
        "postgres",
        _or_as_before(_die_accepted, _heal_accepted),
        _heal_accepted,
        takes_seconds=5.0,
        weight=1,
        detour=True,
        besides=APIS[1:],
    ),
    Fault(
        "relay_dies_relayed",
        (26, 37),
        "postgres",
        _or_as_before(_die_relayed, _heal_relayed),
        _heal_relayed,
        takes_seconds=5.0,
        weight=1,
        detour=True,
        besides=SCHEDULERS,
    ),
    Fault(
        "sweeper_dies_taking_over",
        (1, 37),
        "worker",
        _or_as_before(_die_taking_over, _heal_taking_over),
        _heal_taking_over,
        takes_seconds=5.0,
        weight=1,
        besides=SCHEDULERS,
    ),
]
