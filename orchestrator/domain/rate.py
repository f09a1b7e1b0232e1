"""How fast one may ask: GCRA, a leaky bucket that is one moment.

That moment is when everything admitted so far would have come, had it come evenly spaced. It may lie ahead by the whole
window: so much may come at once. `admit.lua` decides by the same rule; here it is the reference, and what a process
decides by alone while Redis is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a minute, counted under a name."""

    name: str
    """As clients read it, too: its first word says whose it is."""
    key: str
    per_minute: int

    @property
    def interval_us(self) -> int:
        """Between two of them, evenly spaced; rounded up, so that never more pass than the limit says."""
        return -(-MINUTE_US // self.per_minute)

    @property
    def capacity_us(self) -> int:
        return self.per_minute * self.interval_us


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a rate stands after a request was judged."""

    left: int
    """So many more would pass at this moment."""
    reset_us: int
    """Until all of it is there again."""
    retry_us: int
    """Until the refused request would pass; 0 where this rate did not refuse it."""


def judge(rates: Sequence[Rate], due_us: Sequence[int], now_us: int) -> tuple[bool, list[Verdict], list[int]]:
    """Decide on one request by all of its rates, given the moment of each: does it pass, how do they stand, and the
    moments from now on. It passes if all allow it, and counts against none otherwise."""
    asked = [max(due, now_us) + rate.interval_us for rate, due in zip(rates, due_us, strict=True)]
    over = [max(0, due - now_us - rate.capacity_us) for rate, due in zip(rates, asked, strict=True)]
    passes = not any(over)
    after = asked if passes else [due - rate.interval_us for rate, due in zip(rates, asked, strict=True)]
    verdicts = [
        Verdict((rate.capacity_us - (due - now_us)) // rate.interval_us, due - now_us, retry_us)
        for rate, due, retry_us in zip(rates, after, over, strict=True)
    ]
    return passes, verdicts, after


class Meter:
    """Rates of one process, kept in its memory; what is over is forgotten when there are many."""

    MOST = 20_000

    def __init__(self) -> None:
        self._due_us: dict[str, int] = {}
        self._closed_us: dict[Rate, int] = {}
        self.alone_until_us = 0
        """Until when nobody else is asked."""

    def admit(self, rates: Sequence[Rate], now_us: int) -> tuple[bool, list[Verdict]]:
        """Judge a request by this process' memory alone, and count it if it passes."""
        passes, verdicts, after = judge(rates, [self._due_us.get(rate.key, 0) for rate in rates], now_us)
        if passes:
            self._due_us |= {rate.key: due for rate, due in zip(rates, after, strict=True)}
            if len(self._due_us) > self.MOST:
                self._due_us = {key: due for key, due in self._due_us.items() if due > now_us}
        return passes, verdicts

    def close(self, rates: Sequence[Rate], verdicts: Sequence[Verdict], now_us: int) -> None:
        """Remember what refused a request, wherever that was decided: nothing passes it before its time."""
        if len(self._closed_us) > self.MOST:
            self._closed_us.clear()
        waits = zip(rates, verdicts, strict=True)
        self._closed_us |= {rate: now_us + verdict.retry_us for rate, verdict in waits if verdict.retry_us}

    def closed_for_us(self, rate: Rate, now_us: int) -> int:
        """How long nothing passes a rate, as far as this process knows."""
        until = self._closed_us.get(rate, 0)
        if until <= now_us:
            self._closed_us.pop(rate, None)
        return max(0, until - now_us)
