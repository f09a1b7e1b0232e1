"""What is sealed comes back for its own place and nowhere else, and what is plain is never taken for sealed."""

import hmac
from base64 import b64encode

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import SealBroken, SealKeyMissing
from orchestrator.domain.ids import TaskId, Tenant
from orchestrator.vault.master_keys import MasterKey, read_master_keys
from orchestrator.vault.vault import Vault, is_plain

K1, K2 = MasterKey("k1", bytes(range(32))), MasterKey("k2", bytes(range(1, 33)))
ACME, OTHER = Tenant("acme"), Tenant("other")
TASK, ANOTHER = TaskId("01997c0e-0000-7000-8000-000000000001"), TaskId("01997c0e-0000-7000-8000-000000000002")
VAULT = Vault([K1], ["acme"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])) | st.text("0123:").map("aurea:sealed:".__add__),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)  # fmt: skip


@given(VALUES, st.sampled_from([ACME, OTHER]))
def test_any_json_comes_back_sealed_or_not(value: object, tenant: Tenant) -> None:
    plain = orjson.dumps(value)
    kept = VAULT.seal(tenant, TASK, "payload", plain)
    assert VAULT.open(tenant, TASK, "payload", kept) == plain
    assert isinstance(orjson.loads(kept), str) or kept == plain
    assert kept.startswith(b'"aurea:sealed:1:k1:') == (tenant == ACME)


@given(st.text("aure:sld01k", max_size=12))
def test_a_plain_text_that_looks_sealed_stays_what_it_is_also_without_keys(tail: str) -> None:
    plain = orjson.dumps(f"aurea:sealed:{tail}")
    kept = Vault().seal(ACME, TASK, "payload", plain)
    assert VAULT.open(ACME, TASK, "payload", kept) == plain


def test_what_somebody_copied_from_a_table_and_sends_as_his_own_is_a_text() -> None:
    stolen = VAULT.seal(ACME, TASK, "payload", b'{"pin": 1234}')
    for sender in (ACME, OTHER):
        kept = VAULT.seal(sender, ANOTHER, "payload", stolen)
        assert VAULT.open(sender, ANOTHER, "payload", kept) == stolen


@pytest.mark.parametrize(
    ("tenant", "task", "what"),
    [(OTHER, TASK, "payload"), (ACME, ANOTHER, "payload"), (ACME, TASK, "result"), (ACME, TASK, "step payload")],
)
def test_moved_to_another_place_it_does_not_open(tenant: Tenant, task: TaskId, what: str) -> None:
    kept = VAULT.seal(ACME, TASK, "payload", b'{"pin": 1234}')
    with pytest.raises(SealBroken) as broken:
        VAULT.open(tenant, task, what, kept)
    assert "1234" not in str(broken.value)


def test_a_change_of_any_character_is_noticed() -> None:
    kept = VAULT.seal(ACME, TASK, "payload", b'{"pin": 1234}')
    assert VAULT.open(ACME, TASK, "payload", kept) == b'{"pin": 1234}'
    for place in range(len(b'"aurea:sealed:'), len(kept) - 1):
        changed = kept[:place] + (b"A" if kept[place : place + 1] != b"A" else b"B") + kept[place + 1 :]
        with pytest.raises((SealBroken, SealKeyMissing)):
            VAULT.open(ACME, TASK, "payload", changed)


def test_what_is_sealed_has_one_spelling() -> None:
    last = b"=="
    while last != b"A=":  # two of the six bits of the last character say nothing
        kept = VAULT.seal(ACME, TASK, "payload", b'{"pin": 1234}')
        last = kept[-3:-1]
    with pytest.raises(SealBroken):
        VAULT.open(ACME, TASK, "payload", kept[:-3] + b'B="')


@pytest.mark.parametrize("kept", [b'"aurea:sealed:1:k1:"', b'"aurea:sealed:1:"', b'"aurea:sealed:7:k1:AAAA"'])
def test_half_a_value_is_broken_or_names_its_key(kept: bytes) -> None:
    with pytest.raises((SealBroken, SealKeyMissing)):
        VAULT.open(ACME, TASK, "payload", kept)


def test_a_key_that_is_missing_is_named_with_its_variable() -> None:
    kept = VAULT.seal(ACME, TASK, "payload", b"1")
    for poorer in (Vault(), Vault([K2], ["acme"])):
        with pytest.raises(SealKeyMissing, match=r"'k1'.*AUREA_ENCRYPTION_KEYS") as missing:
            poorer.open(ACME, TASK, "payload", kept)
        assert missing.value.key_id == "k1"


def test_a_key_of_the_same_name_with_another_secret_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        Vault([MasterKey("k1", K2.secret)]).open(ACME, TASK, "payload", VAULT.seal(ACME, TASK, "payload", b"1"))


def test_the_first_key_seals_and_every_key_opens() -> None:
    both = Vault([K2, K1], ["*"])
    assert both.open(ACME, TASK, "payload", VAULT.seal(ACME, TASK, "payload", b"1")) == b"1"
    assert both.seal(OTHER, TASK, "payload", b"1").startswith(b'"aurea:sealed:1:k2:')


def test_equal_values_are_sealed_to_different_texts() -> None:
    assert len({VAULT.seal(ACME, TASK, "payload", b'"same"') for _ in range(100)}) == 100


def test_the_keys_are_those_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bytes] = []
    whole = aead.AESGCM

    def note(key: bytes) -> aead.AESGCM:
        used.append(key)
        return whole(key)

    monkeypatch.setattr(aead, "AESGCM", note)
    VAULT.seal(ACME, TASK, "payload", b"1")
    tenant = HKDF(SHA256(), 32, b"aurea vault 1", b"tenant\0acme").derive(K1.secret)
    assert used == [HKDFExpand(SHA256(), 32, b"task\0" + TASK.encode()).derive(tenant)]
    siv = HKDFExpand(SHA256(), 64, b"fingerprint").derive(tenant)
    first = hmac.digest(tenant, b"fingerprint\x01", "sha256")
    assert siv == first + hmac.digest(tenant, first + b"fingerprint\x02", "sha256")


def test_a_worker_seals_for_a_tenant_whose_payload_came_sealed() -> None:
    worker = Vault([K1])
    assert is_plain(worker.seal(ACME, TASK, "result", b"1"))
    worker.meet(ACME, b'{"plain": true}')
    assert not worker.seals(ACME)
    worker.meet(ACME, VAULT.seal(ACME, TASK, "payload", b"1"))
    assert not is_plain(worker.seal(ACME, TASK, "result", b"1"))
    assert is_plain(worker.seal(OTHER, TASK, "result", b"1"))


def test_fingerprints_are_equal_for_equal_requests_of_one_key_alone() -> None:
    plain = bytes(32)
    kept = VAULT.seal_fingerprint(ACME, "doc-1", plain)
    assert kept == VAULT.seal_fingerprint(ACME, "doc-1", plain) != plain
    assert kept != VAULT.seal_fingerprint(ACME, "doc-2", plain)
    assert kept != Vault([K1], ["*"]).seal_fingerprint(OTHER, "doc-1", plain)
    assert Vault([K2, K1]).open_fingerprint(ACME, "doc-1", kept) == plain
    assert VAULT.open_fingerprint(ACME, "doc-1", plain) == plain == VAULT.seal_fingerprint(OTHER, "doc-1", plain)
    with pytest.raises(SealBroken):
        VAULT.open_fingerprint(ACME, "doc-2", kept)
    with pytest.raises(SealKeyMissing):
        Vault([K2]).open_fingerprint(ACME, "doc-1", kept)


def test_keys_are_read_in_their_order_and_shown_to_nobody() -> None:
    text = f"k2:{b64encode(K2.secret).decode()}, k1:{b64encode(K1.secret, altchars=b'-_').decode()}"
    assert read_master_keys(text) == (K2, K1)
    assert "secret" not in repr(read_master_keys(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c2VjcmV0", "key 1 has to be <id>:<base64>"),
        ("k1:c2VjcmV0", "the key k1 has 6 bytes, not 32"),
        ("k1:not base64!", "the key k1 is not base64"),
        (f"k 1:{b64encode(K1.secret).decode()}", "key 1 has to be"),
        (f"k1:{b64encode(K1.secret).decode()},", "key 2 has to be"),
        (f"k1:{b64encode(K1.secret).decode()},k1:{b64encode(K2.secret).decode()}", "the same id"),
        (f"k1:{b64encode(K1.secret).decode()},k2:{b64encode(K1.secret).decode()}", "the same secret"),
    ],
)
def test_bad_keys_are_told_without_their_secrets(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        read_master_keys(text)
    assert "c2VjcmV0" not in str(refusal.value)
    assert b64encode(K1.secret).decode() not in str(refusal.value)
