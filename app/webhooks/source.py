"""The shape of a webhook source: how its deliveries are proved, and what they become.

A scheme is a module of this package that says how senders of one kind sign and what they send; a source is a sender:
a scheme, its secrets, the tenant it sends for. The functions of a scheme are pure: they see a delivery and touch
nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from orchestrator.domain.errors import SignatureRefused
from orchestrator.domain.ids import Tenant

TOLERANCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Incoming:
    """A delivery as it came off the wire; header names in lower case, the body untouched."""

    headers: Mapping[bytes, bytes]
    body: bytes
    at: float = 0.0
    """When it came, in Unix seconds."""
    tolerance_seconds: int = TOLERANCE_SECONDS
    """How far a signed time may be from that, either way."""

    def header(self, name: str) -> bytes:
        """Return a header's bytes, whatever they are; empty without it."""
        return self.headers.get(name.lower().encode(), b"")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was proved and read."""

    id: str
    """Equal for every repeat of one delivery: with the source's name it is the task's idempotency key."""
    event: str
    headers: dict[str, str]
    """The few that say something about the event and are the same in every repeat."""
    body: Any
    silent: bool = False
    """The sender shows what it is answered to people: it gets an empty 200 instead of the task."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What was proved and asks for nothing but an answer: nothing is kept."""

    answer: str = ""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one kind of sender signs, and what it sends."""

    signatures: tuple[str, ...]
    """The headers that may carry its signature; one has to."""
    most_bytes: int
    prove: Callable[[Incoming, Sequence[str]], int | None]
    """Return the place of the secret that the raw body was signed with, None without one.

    Never raises, whatever the headers hold, and takes no longer for many signatures than for a few.
    """
    read: Callable[[Incoming], Delivery | Greeting]
    """Translate a delivery that was proved. Raises InvalidInput for one that does not hold what it should."""
    refusal: type[SignatureRefused] = SignatureRefused


@dataclass(frozen=True, slots=True)
class Source:
    """One sender of webhooks."""

    name: str
    scheme: Scheme
    scheme_name: str
    variable: str
    """The environment variable that holds its secrets."""
    secrets: tuple[SecretStr, ...]
    tenant: Tenant
    most_bytes: int
    tolerance_seconds: int = TOLERANCE_SECONDS

    def prove(self, incoming: Incoming) -> int | None:
        return self.scheme.prove(incoming, [secret.get_secret_value() for secret in self.secrets])
