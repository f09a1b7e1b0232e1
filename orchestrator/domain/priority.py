"""The order of a queue: one score from the moment a task became ready and its priority.

`score = ready_at in µs + priority × step`. So inside a priority the first in is the first out, and a step of
waiting is worth one priority: nothing starves. With a step of a day and priority 9 the sum stays below
2^53, so a double holds it exactly until the year 2255.
"""

LOWEST, DEFAULT, MOST_URGENT = 9, 5, 0


def score(ready_at_us: int, priority: int, step_us: int) -> int:
    """Return the place in the queue; the smallest score is served first."""
    return ready_at_us + priority * step_us
