"""What a campaign is asked for, and the plan that follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.chaos.catalogue import CATALOGUE
from orchestrator.chaos.faults import APIS, SCHEDULERS, Fault, Strike, plan

SPACING_SECONDS = 0.9
"""From one fault to the next, on average, unless a campaign has a time to fill."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a campaign is asked for."""

    folder: Path
    tasks: int = 5_000
    faults: int = 40
    workers: int = 3
    seed: int = 1
    lease_seconds: float = 3.0
    minutes: float | None = None
    """Faults and tasks are spread over this time; without it they come as fast as is useful."""
    handlers: str | None = None
    """A file of the user's own handlers."""
    payloads: Mapping[str, bytes] = field(default_factory=dict)
    """What the user's own handlers are given: JSON by type."""
    catalogue: Sequence[Fault] = CATALOGUE

    @property
    def spacing_seconds(self) -> float:
        return self.minutes * 60 / max(1, self.faults) if self.minutes else SPACING_SECONDS

    @property
    def plan(self) -> list[Strike]:
        return plan(
            self.catalogue,
            self.names,
            seed=self.seed,
            strikes=self.faults,
            spacing_seconds=self.spacing_seconds,
            lease_seconds=self.lease_seconds,
        )

    @property
    def names(self) -> list[str]:
        return [*APIS, *SCHEDULERS, *(f"worker{number + 1}" for number in range(self.workers))]
