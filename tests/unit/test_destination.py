"""URLs that users hand in: what is refused before anything is sent."""

import pytest

from orchestrator.egress.addresses import Allowed
from orchestrator.egress.destination import check_destination, refusal

NONE = Allowed(())


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com:8080/a?key=1",
        "https://bücher.example/x",
        "http://[2606:4700::1]/",
        "https://internal.example.com/",
        "https://local.example.com./",
    ],
)
def test_a_url_that_can_be_called_is_taken(url: str) -> None:
    assert check_destination(url) == url
    assert refusal(url, NONE) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "http"),
        ("example.com/hook", "http"),
        ("https://", "host"),
        ("https:///hook", "host"),
        ("https://ada:secret@example.com/", "user or password"),
        ("https://ada@example.com/", "user or password"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/a b", "spaces"),
        ("https://example.com/\r\nX: y", "spaces"),
        ("https://example.com/\x00", "spaces"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com/" + "a" * 3000, "2048"),
        ("javascript:alert(1)", "http"),
        ("file:///etc/passwd", "http"),
        ("", "http"),
    ],
)
def test_what_is_no_url_to_call_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_destination(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "[::1]",
        "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]", "2130706433", "0x7f000001",
        "017700000001", "127.1", "0", "localhost", "LOCALHOST.", "api.localhost", "127。0。0。1",
        "intranet", "intranet.", "db", "printer.local", "metadata.google.internal", "nas.home.arpa", ".",
    ],
)  # fmt: skip
def test_what_can_only_be_private_is_refused_at_once(host: str) -> None:
    url = f"http://{host}:8080/hook"
    assert "AUREA_ALLOW_PRIVATE_HOSTS" in (refusal(check_destination(url), NONE) or "")


def test_a_host_that_is_allowed_may_be_private() -> None:
    allowed = Allowed(["10.0.0.7:8080", "localhost", "intranet", "db.internal:8080", "xn--bcher-kva.internal"])
    assert refusal("http://10.0.0.7:8080/", allowed) is None
    assert refusal("http://10.0.0.7/", allowed) is not None
    assert refusal("http://localhost:1/", allowed) is None
    assert refusal("https://intranet./", allowed) is None
    assert refusal("http://db.internal:8080/", allowed) is None
    assert refusal("http://db.internal/", allowed) is not None
    assert refusal("http://bücher.internal/", allowed) is None
