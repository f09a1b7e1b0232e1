"""When to try again: exponential backoff with full jitter.

The n-th failure waits a uniformly random time between 0 and min(cap, base × 2^(n-1)) seconds. Full jitter
spreads a herd best (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from dataclasses import dataclass

MAX_CRASHES = 3
"""The third crash makes a dead letter marked `poison`."""
MOST_CRASHES = 10
"""The same where it is not known whether the handler had begun: a storm of kills catches tasks that only waited."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart; spans in seconds."""

    max_retries: int = 6
    base_seconds: float = 2.0
    cap_seconds: float = 3600.0


def backoff(policy: RetryPolicy, failures: int, chance: float) -> float:
    """Return the seconds to wait after this many failures; `chance` is uniform in [0, 1)."""
    ceiling = min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(failures - 1, 60))
    return chance * ceiling


def is_suspect(crashes: int) -> bool:
    """Whether the next crash would be the last: such a task runs in a process of its own.

    A worker that dies takes the innocent with it, and the same ones are claimed together again. Alone, a task that
    kills its process is the only one that is counted.
    """
    return crashes >= MAX_CRASHES - 1
