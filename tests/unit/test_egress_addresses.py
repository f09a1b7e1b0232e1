"""Which addresses count as public."""

import pytest

from orchestrator.egress.addresses import Allowed, is_public

PRIVATE = """
127.0.0.1 127.255.255.254 0.0.0.0 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 100.100.100.200
100.127.255.254 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 192.88.99.1
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1 ::ffff:0:7f00:1 fe80::1 fe80::1%eth0
fc00::1 fd00:ec2::254 fec0::1 ff02::1 ff02::2 2001:db8::1 3fff::1 100::1 64:ff9b::7f00:1 64:ff9b::a00:1
64:ff9b::c000:201 64:ff9b::ffff:ffff 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1::1 2002:808:808::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:1234:5678:9abc:def0:1234:5678 5f00::1
""".split()  # noqa: SIM905 - as a list it would be a screen long
PUBLIC = """
8.8.8.8 1.1.1.1 100.63.255.254 100.128.0.1 172.15.255.255 172.32.0.1 ::ffff:8.8.8.8 64:ff9b::808:808
2001:4860:4860::8888 2606:4700:4700::1111
""".split()  # noqa: SIM905 - as a list it would be a screen long


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_public_whatever_it_is_wrapped_in(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


def test_what_is_no_address_is_not_public() -> None:
    assert not is_public("example.com")


def test_a_host_is_allowed_for_all_its_ports() -> None:
    allowed = Allowed(["API.internal.", "10.0.0.7", "[fd00::0007]"])
    assert allowed.holds("api.internal", 80)
    assert allowed.holds("10.0.0.7", 8080)
    assert allowed.holds("fd00::7", 443)


def test_a_host_and_port_is_allowed_for_that_port_alone() -> None:
    allowed = Allowed(["api.internal:8080", "[fd00::7]:443"])
    assert allowed.holds("api.internal", 8080)
    assert not allowed.holds("api.internal", 80)
    assert allowed.holds("fd00::7", 443)
    assert not allowed.holds("fd00::7", 80)


def test_another_name_for_an_allowed_address_is_not_allowed() -> None:
    allowed = Allowed(["127.0.0.1:80"])
    assert not allowed.holds("localhost", 80)
    assert not allowed.holds("127.1", 80)
    assert not allowed.holds("::ffff:127.0.0.1", 80)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "http://api.internal",
        "api.internal:http",
        "a b",
        "user@host",
        ":80",
        "*.internal",
        "10.0.0.0/8",
        "api:0",
        "api:99999",
        "bücher.internal",
        "a..b",
    ],
)
def test_an_entry_that_is_no_host_is_refused_at_start(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        Allowed([entry])
