"""What `aurea check` says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: the variable it depends on, whether it is well, and what was seen or is to do."""

    subject: str
    is_well: bool
    detail: str
