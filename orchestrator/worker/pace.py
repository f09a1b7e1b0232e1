"""The pace of a worker: how long its attempts take, as a moving average."""

_BRISK_US = 100_000
_WEIGHT = 16
"""One attempt counts for so little: a single long one among brisk ones changes nothing."""


class Pace:
    """A worker counts as slow until its attempts say otherwise."""

    def __init__(self) -> None:
        self._usual_us = _BRISK_US

    def note(self, duration_us: int) -> None:
        self._usual_us += (duration_us - self._usual_us) // _WEIGHT

    @property
    def brisk(self) -> bool:
        """Whether attempts take so little that tasks are leased before there is a slot for them."""
        return self._usual_us < _BRISK_US
