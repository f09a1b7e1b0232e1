"""What a fault is, and how a campaign's faults are drawn: the same seed gives the same plan.

Every kind comes once before any comes twice, in an order of the seed's; the rest is drawn by weight.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.chaos.proxy import Proxy
from orchestrator.chaos.stores import Store, Stores
from orchestrator.chaos.system import System

Target = Literal["worker", "api", "scheduler", "client", "postgres", "redis", "both"]


APIS = ("api1", "api2")
SCHEDULERS = ("scheduler1", "scheduler2")
MOST_AT_ONCE = 4


class NotNow(Exception):
    """This fault cannot be had now, or would take away what is not promised; everything is as it was before."""


@dataclass(slots=True)
class Stage:
    """What a fault may touch."""

    system: System
    stores: Stores
    lease_seconds: float
    doors: dict[str, Proxy]
    """The clients' own proxies to each API process."""
    wishes: deque[dict[str, Any]] = field(default_factory=deque)
    """Tasks that the clients submit next."""
    open_sessions: list[Any] = field(default_factory=list)

    def link(self, name: str, store: Store) -> Proxy:
        """The proxy between this process and this store."""
        return self.system.links(name)[store]


Act = Callable[[Stage, str], Awaitable[None]]


async def nothing(_stage: Stage, _target: str) -> None:
    """Heals by itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. `rows` are those of the fault matrix that it stands for."""

    name: str
    rows: tuple[int, ...]
    target: Target
    inject: Act
    heal: Act = nothing
    hold_seconds: tuple[float, float] = (0.0, 0.5)
    hold_leases: tuple[float, float] = (0.0, 0.0)
    """On top of the seconds, in leases."""
    takes_seconds: float = 0.5
    """How long it takes to break it and to mend it, about."""
    weight: int = 2
    amnesia: bool = False
    """Redis forgets: what only Redis has would be nowhere then, so everybody has to have Postgres."""
    detour: bool = False
    """Somebody lacks Postgres and writes to Redis instead."""
    besides: tuple[str, ...] = ()
    """What it breaks besides its target."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of a plan: what, whom, how long, and how long after the one before."""

    fault: Fault
    target: str
    hold_seconds: float
    after_seconds: float


def plan(
    catalogue: Sequence[Fault],
    names: Sequence[str],
    *,
    seed: int,
    strikes: int,
    spacing_seconds: float,
    lease_seconds: float,
) -> list[Strike]:
    """Draw that many strikes on these processes."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - to be repeated, not secret
    first = chance.sample(list(catalogue), len(catalogue))
    weights = [fault.weight for fault in catalogue]
    rest = chance.choices(list(catalogue), weights, k=max(0, strikes - len(first)))
    drawn = []
    for fault in [*first, *rest][:strikes]:
        hold = chance.uniform(*fault.hold_seconds) + chance.uniform(*fault.hold_leases) * lease_seconds
        after = min(chance.expovariate(1.0), 3.0) * spacing_seconds
        drawn.append(Strike(fault, _whom(fault, names, chance), hold, after))
    return drawn


def _whom(fault: Fault, names: Sequence[str], chance: random.Random) -> str:
    role = "api" if fault.target == "client" else fault.target
    return chance.choice([name for name in names if name.rstrip("0123456789") == role] or [role])


def breath_seconds(strike: Strike) -> float:
    """How long nobody else may strike there after the healing: a store is there for a moment, at least."""
    return 0.5 if strike.fault.amnesia or strike.fault.target in ("postgres", "redis", "both") else 0.0


def clash(one: Strike, other: Strike) -> bool:
    """Whether the two may not be at the same time: they break the same, or Redis forgets what another needs."""
    forgets = (one.fault.amnesia and other.fault.detour) or (other.fault.amnesia and one.fault.detour)
    return forgets or not _touched(one).isdisjoint(_touched(other))


def _touched(strike: Strike) -> frozenset[str]:
    if strike.fault.target == "both" or strike.fault.amnesia:
        return frozenset(("postgres", "redis"))
    return frozenset((strike.target, *strike.fault.besides))


def expected_seconds(strikes: Sequence[Strike]) -> float:
    """About how long they take, one after the other and some at once, as the conductor makes them."""
    now, under_way = 0.0, list[tuple[float, Strike]]()
    for strike in strikes:
        now += strike.after_seconds
        under_way = sorted(((end, other) for end, other in under_way if end > now), key=lambda pair: pair[0])
        while len(under_way) >= MOST_AT_ONCE or any(clash(strike, other) for _, other in under_way):
            now, _ = under_way.pop(0)
        under_way.append((now + strike.hold_seconds + strike.fault.takes_seconds + breath_seconds(strike), strike))
    return max([now, *(end for end, _ in under_way)])
