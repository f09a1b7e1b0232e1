"""What REDIS_URL may say."""

import pytest

from orchestrator.queue.addresses import Address, Endpoint, check_namespace, parse


@pytest.mark.parametrize("url", ["redis://127.0.0.1", "redis://:p%40ss@host:6380/2", "rediss://user:pass@host?db=1"])
def test_one_server_is_left_as_it_is(url: str) -> None:
    assert parse(url) == Address("server", url)


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        (
            "redis+sentinel://:p%40ss@one:26380,two/orders/3",
            Address(
                "sentinel", "redis://:p%40ss@one:26380/3", (Endpoint("one", 26380), Endpoint("two", 26379)), "orders"
            ),
        ),
        (
            "rediss+sentinel://me:pw@[::1]:1,[fe80::2]/orders?ssl_cert_reqs=none&sentinel_password=a%26b",
            Address(
                "sentinel",
                "rediss://me:pw@[::1]:1/0?ssl_cert_reqs=none",
                (Endpoint("::1", 1), Endpoint("fe80::2", 26379)),
                "orders",
                "a&b",
            ),
        ),
        (
            "redis+cluster://one,two:7001",
            Address("cluster", "redis://one:6379/0", (Endpoint("one", 6379), Endpoint("two", 7001))),
        ),
        ("rediss+cluster://:pw@one:7000/0", Address("cluster", "rediss://:pw@one:7000/0", (Endpoint("one", 7000),))),
    ],
)
def test_a_group_is_the_way_to_a_server_and_whom_to_ask_where_it_is(url: str, meaning: Address) -> None:
    assert parse(url) == meaning


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:s3cret@host", "it has to begin with redis://"),
        ("redis-sentinel://:s3cret@host/orders", "it has to begin with redis://"),
        ("redis+sentinel://:s3cret@host:26379", "the service"),
        ("redis+sentinel://:s3cret@host:26379/orders/zero", "a number"),
        ("redis+sentinel://:s3cret@host,/orders", "name:port"),
        ("redis+sentinel://:s3cret@host:99999/orders", "name:port"),
        ("redis+sentinel://", "name hosts"),
        ("redis+cluster://:s3cret@host:7000/1", "only database 0"),
        ("redis+cluster://:s3cret@host:7000:7001", "name:port"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        parse(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "namespace", "good"),
    [
        ("redis+cluster://host", "aurea", False),
        ("rediss+cluster://host", "{}", False),
        ("redis+cluster://host", "{aurea}", True),
        ("redis://host", "aurea", True),
        ("redis+sentinel://host/orders", "aurea", True),
    ],
)
def test_only_a_cluster_needs_a_hash_tag(url: str, namespace: str, good: bool) -> None:
    if good:
        check_namespace(url, namespace)
    else:
        with pytest.raises(ValueError, match="AUREA_NAMESPACE"):
            check_namespace(url, namespace)
