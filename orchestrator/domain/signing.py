"""Signing what goes out, by Standard Webhooks: secrets are derived, so that none is stored.

The signature itself is the one that senders of that scheme put on what comes in. A secret of ours is HMAC-SHA256 of who
receives (tenant, recipient, generation) under a master secret. The first master is the one whose secrets are shown; the
others sign too, so that masters are exchanged without a break. Whoever holds one recipient's secret learns nothing of a
master or of another's.
"""

import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from orchestrator.domain.errors import NotConfigured

OVERLAP = timedelta(days=1)
"""How long the secret before signs beside a new one."""
VARIABLE = "AUREA_SIGNING_SECRETS"
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Generation:
    """Which secret of a recipient is in force."""

    number: int = 1
    rotated_at: datetime | None = None

    def valid(self, now: datetime) -> list[int]:
        """Return the generations that sign now, the newest first."""
        overlaps = self.rotated_at is not None and now < self.rotated_at + OVERLAP
        return [self.number, self.number - 1] if overlaps and self.number > 1 else [self.number]


@dataclass(frozen=True, slots=True)
class Signer:
    """The master secrets of a system, the newest first."""

    masters: tuple[str, ...] = field(default=(), repr=False)

    def check(self) -> None:
        """Raises NotConfigured when there is no master secret."""
        if not self.masters:
            raise NotConfigured(
                VARIABLE, "to a random text of 32 characters or more, in the environment of the API and of the workers"
            )

    def secret(self, tenant: str, recipient: str, generation: int) -> str:
        """Return the secret as its recipient keeps it. Raises NotConfigured."""
        self.check()
        return _derived(self.masters[0], tenant, recipient, generation)

    def headers(
        self, tenant: str, recipient: str, generation: Generation, event_id: str, now: datetime, body: bytes
    ) -> dict[str, str]:
        """Return what proves a body: one signature for each secret that is in force. Raises NotConfigured."""
        self.check()
        secrets = [
            _derived(master, tenant, recipient, number) for number in generation.valid(now) for master in self.masters
        ]
        stamp = str(int(now.timestamp()))
        return {
            "webhook-id": event_id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signature(secret, event_id, stamp, body) for secret in secrets),
        }


def signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the signature of a body under a secret that begins with `whsec_`."""
    signed = signed_text(event_id.encode(), timestamp.encode(), body)
    return keyed_signature(b64decode(secret.removeprefix(_PREFIX)), signed).decode()


def signed_text(event_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Return what is signed of a request, going out or coming in, whatever signs it."""
    return b".".join((event_id, timestamp, body))


def keyed_signature(key: bytes, signed: bytes) -> bytes:
    """Return `v1,` and the signature of this text."""
    return b"v1," + b64encode(hmac.digest(key, signed, sha256))


def _derived(master: str, tenant: str, recipient: str, generation: int) -> str:
    # A line break is in none of them, so no two recipients are spelled alike.
    named = f"aurea-webhook\n{tenant}\n{recipient}\n{generation}".encode()
    return _PREFIX + b64encode(hmac.digest(master.encode(), named, sha256)).decode()
