"""How an API key is spelled, and that a look-alike is told without asking anybody."""

import re
import secrets
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest

from orchestrator.domain.api_key import RANDOM_BYTES, ApiKey, Presented, mint, opens, parse
from orchestrator.domain.ids import Tenant
from orchestrator.domain.principal import Kind, Scope
from orchestrator.operations.identities import Identities, _Entry
from orchestrator.operations.key_copy import read_copy, write_copy
from orchestrator.telemetry.redaction import redact
from orchestrator.testing import FakeClock

SCANNER = re.compile(r"\baur_(dev|test|prod)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}\b")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINTED = mint("prod", bytes(range(RANDOM_BYTES)))
KEY = ApiKey(MINTED.id, Tenant("acme"), "ci", "prod", MINTED.hash, frozenset({Scope.TASKS_READ}), NOW, "admin:admin")


def test_a_scanner_finds_a_key_in_any_text() -> None:
    for _ in range(200):
        text = mint("dev", secrets.token_bytes(RANDOM_BYTES)).text
        assert SCANNER.fullmatch(text)
        assert SCANNER.search(f'curl -H "Authorization: Bearer {text}", please')


def test_the_checksum_is_the_crc32_of_the_rest() -> None:
    body, given = MINTED.text[:-6], MINTED.text[-6:]
    number = 0
    for digit in given:
        number = number * 62 + DIGITS.index(digit)
    assert number == crc32(body.encode())


def test_a_key_is_recognised_as_itself() -> None:
    assert parse(MINTED.text) == Presented(MINTED.id, MINTED.hash)
    assert opens(Presented(MINTED.id, MINTED.hash), KEY)


def test_every_single_slip_is_a_misspelling() -> None:
    for place in range(len(MINTED.text)):
        for other in ("0", "z", "_", "é"):
            slipped = MINTED.text[:place] + other + MINTED.text[place + 1 :]
            assert slipped == MINTED.text or parse(slipped) is None, slipped


@pytest.mark.parametrize(
    "text",
    ["", "aur_", MINTED.text[:-1], MINTED.text + "0", MINTED.text + "\n", " " + MINTED.text, MINTED.text.upper()],
)
def test_what_has_another_shape_is_a_misspelling(text: str) -> None:
    assert parse(text) is None


def test_a_well_spelled_key_of_the_same_id_does_not_open() -> None:
    other = mint("prod", bytes(range(16)) + bytes(RANDOM_BYTES - 16))
    assert other.id == MINTED.id
    presented = parse(other.text)
    assert presented is not None
    assert not opens(presented, KEY)
    assert not opens(presented, None)


def test_the_environment_is_part_of_what_opens() -> None:
    elsewhere = mint("test", bytes(range(RANDOM_BYTES)))
    assert elsewhere.hash != MINTED.hash


def test_no_two_of_many_keys_are_alike_and_all_digits_come_up() -> None:
    made = [mint("dev", secrets.token_bytes(RANDOM_BYTES)) for _ in range(2000)]
    assert len({key.text for key in made}) == len({key.id for key in made}) == 2000
    assert set("".join(key.text[13:45].replace("_", "") for key in made)) == set(DIGITS)


def test_what_is_kept_holds_no_secret() -> None:
    secret = MINTED.text[-38:-6]
    assert secret not in repr(MINTED) + repr(KEY) + str(asdict(KEY)) + write_copy(KEY).decode()


def test_a_key_that_slips_into_a_log_is_hidden() -> None:
    assert MINTED.text[-38:] not in redact(f"sent {MINTED.text} twice")


def test_a_copy_says_what_the_row_said() -> None:
    key = ApiKey(
        "abcdefgh", Tenant("acme"), "ci \N{SNOWMAN}", "dev", MINTED.hash, frozenset(Scope), NOW, "user:7",
        expires_at=NOW + timedelta(days=1, microseconds=5), revoked_at=NOW, rotated_to="hgfedcba",
    )  # fmt: skip
    assert read_copy(write_copy(key)) == key


def test_a_copy_of_a_later_version_gives_what_is_known_of_it() -> None:
    assert read_copy(write_copy(KEY).replace(b'"tasks:read"', b'"tasks:read","moon:write"')) == KEY


async def test_a_stream_that_ends_leaves_a_later_one_of_its_key_watched() -> None:
    runtime: Any = SimpleNamespace(clock=FakeClock(NOW))
    known = Identities(runtime)
    known._entries[KEY.id] = _Entry(replace(KEY, revoked_at=NOW), 0.0)
    with known._watch(KEY.id) as later_gone:
        await known._look_after(KEY.id)
        assert later_gone.is_set()
        later = known._watch(KEY.id)
        ended = later.__enter__()
    await known._look_after(KEY.id)
    assert ended.is_set()
    later.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"expires_at": NOW + timedelta(microseconds=1)}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW + timedelta(days=1)}, False),  # by a clock that is ahead
        ({"rotated_to": "hgfedcba", "expires_at": NOW + timedelta(seconds=1)}, True),
    ],
)
def test_a_key_ends_when_it_expires_or_is_revoked(changes: dict[str, object], good: bool) -> None:
    key = ApiKey(**{name: getattr(KEY, name) for name in KEY.__slots__} | changes)  # type: ignore[arg-type]
    assert key.is_good(NOW) is good


def test_its_principal_acts_for_its_tenant_with_its_scopes() -> None:
    principal = KEY.principal
    assert (principal.tenant, principal.kind, principal.id) == ("acme", Kind.KEY, KEY.id)
    assert principal.scopes == {Scope.TASKS_READ}
    assert not principal.is_admin
