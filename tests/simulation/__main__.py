"""Simulate as much as you like: `python -m tests.simulation --steps 1000000 --seed 7`.

Runs one seed after the other until there were so many steps. A step is an effect at a store, or the word of it (an
answer, or that there will be none) at a process. The first run that breaks a promise ends it: its seed, the command
that replays it, and its last events are printed.
"""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.campaign import STEPS_PER_RUN, Outcome, simulate


def say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000, help="how many in all; 1 is one run")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--run", type=int, default=STEPS_PER_RUN, help="steps of one run under load and faults")
    asked = parser.parse_args()
    began, outcomes, seed = time.monotonic(), list[Outcome](), asked.seed
    while sum(outcome.steps for outcome in outcomes) < asked.steps:
        outcomes.append(simulate(seed, asked.run))
        if outcomes[-1].violations:
            report(outcomes[-1], asked.run)
            return 1
        seed += 1
    summarize(outcomes, time.monotonic() - began)
    return 0


def report(outcome: Outcome, run: int) -> None:
    """Say what broke, and how to see it again."""
    say(*outcome.trace)
    say(f"\nseed {outcome.seed} breaks a promise after {outcome.steps:,} steps:")
    for violation in outcome.violations[:5]:
        say(f"  {violation}")
    say(f"\nreplay: {replay(outcome.seed, run)}")


def replay(seed: int, run: int = STEPS_PER_RUN) -> str:
    return f"python -m tests.simulation --seed {seed} --run {run} --steps 1"


def summarize(outcomes: list[Outcome], seconds: float) -> None:
    steps, effects = sum(each.steps for each in outcomes), sum(each.effects for each in outcomes)
    faults, states = Counter[str](), Counter[str]()
    for outcome in outcomes:
        faults.update(outcome.faults)
        states.update(outcome.states)
    say(f"{len(outcomes)} runs, {steps:,} steps, {effects:,} effects, {seconds:.1f} s: every promise kept")
    say(f"simulated: {sum(each.seconds for each in outcomes):,.0f} s")
    say(f"tasks: {sum(states.values()):,} ({_listed(states)})")
    say(f"acknowledged: {sum(each.accepted for each in outcomes):,}")
    say(f"attempts: {sum(each.handlers for each in outcomes):,}")
    say(f"faults: {sum(faults.values()):,} ({_listed(faults)})")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
