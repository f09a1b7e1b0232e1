"""The vault: JSON values of tenants that are encrypted, sealed before anything is stored and opened where it is used.

A sealed value is JSON itself, the text `aurea:sealed:1:<key id>:<base64 of nonce, ciphertext and tag>`, so it travels
wherever a payload does. AES-256-GCM, under a key for each task: HKDF-SHA256 from the master key by the tenant, and
from that by the task. A task has some thousands of values at most, so random nonces never meet. Tenant, task and what
the value is are authenticated with it: moved anywhere else it does not open.

A plain JSON text that begins like a sealed one is marked as plain (`aurea:sealed:0:`); nobody can send what is taken
for ours. Everything else that is not sealed is passed through as it is.
"""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import orjson

from orchestrator.domain.errors import SealBroken, SealKeyMissing
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.vault.master_keys import KEY_BYTES, MasterKey

if TYPE_CHECKING:  # imported by the first value that is sealed: 3 MB that other processes do without
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

MARK = "aurea:sealed:"
EVERY_TENANT = "*"
SEALED_MARK = '"aurea:sealed:1:'
"""How the JSON text of every sealed value begins."""
_MARK, _PLAIN, _SEALED = b'"aurea:sealed:', b'"aurea:sealed:0:', b'"aurea:sealed:1:'
_NONCE_BYTES = 12
_PLAIN_FINGERPRINT_BYTES = 32
_MOST_CACHED = 10_000
_SALT = b"aurea vault 1"


class Vault:
    """Without keys it seals nothing, and says which key is missing for what it cannot open."""

    def __init__(self, keys: Sequence[MasterKey] = (), tenants: Collection[str] = ()) -> None:
        self.tenants = frozenset(tenants) if keys else frozenset[str]()
        """Whose values are sealed; `*` stands for everybody."""
        self._secrets = {key.id: key.secret for key in keys}
        self.newest = keys[0].id if keys else None
        """The id of the key that seals."""
        self.newest_mark = f'"{MARK}1:{self.newest}:'
        """How a stored value begins that is sealed under that key."""
        self._everybody = EVERY_TENANT in self.tenants
        self._met: set[Tenant] = set()
        self._derived: dict[tuple[str, Tenant], bytes] = {}

    def seals(self, tenant: Tenant) -> bool:
        """Whether what is written for this tenant is sealed."""
        return self._everybody or tenant in self.tenants or tenant in self._met

    def meet(self, tenant: Tenant, kept: bytes) -> None:
        """Seal for a tenant from now on whose value came sealed: another process knows better who is encrypted."""
        if kept.startswith(_SEALED):
            self._met.add(tenant)

    def seal(self, tenant: Tenant, task_id: TaskId, what: str, plain: bytes) -> bytes:
        """Return what is to be stored of a JSON value; `what` tells a task's values apart."""
        if not self.seals(tenant):
            return plain if not plain.startswith(_MARK) else _PLAIN + plain[len(_MARK) :]
        return self._seal_anew(tenant, task_id, what, plain)

    def _seal_anew(self, tenant: Tenant, task_id: TaskId, what: str, plain: bytes) -> bytes:
        key_id = self.newest or ""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher(key_id, tenant, task_id).encrypt(nonce, plain, _bound(tenant, task_id, what))
        return b"%b%b:%b%b" % (_SEALED, key_id.encode(), urlsafe_b64encode(nonce + sealed), b'"')

    def open(self, tenant: Tenant, task_id: TaskId, what: str, kept: bytes) -> bytes:
        """Return the JSON value of what was stored, sealed or not. Raises SealKeyMissing or SealBroken."""
        if not kept.startswith(_MARK):
            return kept
        if kept.startswith(_PLAIN):
            return _MARK + kept[len(_PLAIN) :]
        key_id, _, text = kept[len(_SEALED) : -1].partition(b":")
        try:
            sealed = urlsafe_b64decode(text) if kept.startswith(_SEALED) else b""
            name = key_id.decode("ascii")
        except ValueError:
            raise SealBroken(what, f"task {task_id}") from None
        if len(sealed) <= _NONCE_BYTES or urlsafe_b64encode(sealed) != text:  # Base64 has many spellings of some bytes
            raise SealBroken(what, f"task {task_id}")
        cipher = self._cipher(name, tenant, task_id)
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(tenant, task_id, what))
        except InvalidTag:
            raise SealBroken(what, f"task {task_id}") from None

    def renew(self, tenant: Tenant, task_id: TaskId, what: str, kept: bytes) -> bytes:
        """Return a stored value as it should be stored: what is sealed, and what ought to be, under the newest key.

        Raises SealKeyMissing or SealBroken.
        """
        if self.newest is None or kept.startswith(self.newest_mark.encode()):
            return kept
        if not kept.startswith(_SEALED) and not self.seals(tenant):
            return kept
        return self._seal_anew(tenant, task_id, what, self.open(tenant, task_id, what, kept))

    def renew_fingerprint(self, tenant: Tenant, key: str, kept: bytes) -> bytes:
        """The same for a fingerprint that is sealed, or ought to be."""
        return self._seal_fingerprint_anew(tenant, key, self.open_fingerprint(tenant, key, kept))

    def seal_fingerprint(self, tenant: Tenant, key: str, plain: bytes) -> bytes:
        """Return what is to be stored of a request's fingerprint: equal for equal ones of one idempotency key.

        A hash alone would tell whoever guesses the body that the guess is right. AES-SIV gives equal bytes for equal
        requests, and can be opened, so that a rotation needs no body.
        """
        return self._seal_fingerprint_anew(tenant, key, plain) if self.seals(tenant) else plain

    def _seal_fingerprint_anew(self, tenant: Tenant, key: str, plain: bytes) -> bytes:
        newest = self.newest or ""
        return newest.encode() + b":" + self._fingerprints(newest, tenant).encrypt(plain, [key.encode()])

    def open_fingerprint(self, tenant: Tenant, key: str, kept: bytes) -> bytes:
        """Return the fingerprint of what was stored. Raises SealKeyMissing or SealBroken."""
        if len(kept) <= _PLAIN_FINGERPRINT_BYTES:
            return kept
        key_id, _, sealed = kept.partition(b":")
        from cryptography.exceptions import InvalidTag

        try:
            return self._fingerprints(key_id.decode("ascii", "replace"), tenant).decrypt(sealed, [key.encode()])
        except InvalidTag:
            raise SealBroken("fingerprint", "an idempotency key") from None

    def _cipher(self, key_id: str, tenant: Tenant, task_id: TaskId) -> "AESGCM":
        """HKDF-Expand by the task, whose 32 bytes are one HMAC."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        info = b"task\0" + task_id.encode()
        return AESGCM(hmac.digest(self._tenant_secret(key_id, tenant), info + b"\x01", "sha256"))

    def _fingerprints(self, key_id: str, tenant: Tenant) -> "AESSIV":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        secret, info = self._tenant_secret(key_id, tenant), b"fingerprint"
        first = hmac.digest(secret, info + b"\x01", "sha256")
        return AESSIV(first + hmac.digest(secret, first + info + b"\x02", "sha256"))

    def _tenant_secret(self, key_id: str, tenant: Tenant) -> bytes:
        derived = self._derived.get((key_id, tenant))
        if derived is None:
            master = self._secrets.get(key_id)
            if master is None:
                raise SealKeyMissing(key_id)
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF

            derived = HKDF(SHA256(), KEY_BYTES, _SALT, b"tenant\0" + tenant.encode()).derive(master)
            if len(self._derived) >= _MOST_CACHED:
                self._derived.clear()
            self._derived[key_id, tenant] = derived
        return derived


def is_plain(kept: bytes) -> bool:
    """Whether a stored JSON value is what it says, without being opened."""
    return not kept.startswith(_MARK)


def _bound(tenant: Tenant, task_id: TaskId, what: str) -> bytes:
    """What a sealed value is bound to, in a form that no two places share."""
    return orjson.dumps((tenant, task_id, what))
