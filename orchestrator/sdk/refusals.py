"""What a context's calls raise besides what the handler itself does; all but the last two are terminal when left alone.

`AddressRefused` and `TooLarge` come from `ctx.http`, the others from `ctx.submit`.
"""

from orchestrator.domain.errors import AddressRefused, InvalidInput, QueueFull, TooLarge, Unavailable

__all__ = ["AddressRefused", "InvalidInput", "TooLarge", "QueueFull", "Unavailable"]  # noqa: RUF022
