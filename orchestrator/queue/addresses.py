"""Addresses of Redis: what REDIS_URL may say, and what it means.

- `redis://[[user]:password@]host[:port][/db]`: one server; `rediss://` is TLS.
- `redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/db]`: the primary that these sentinels know
  by that name. User and password are the servers' own; `?sentinel_password=` is that of the sentinels.
- `redis+cluster://[[user]:password@]host[:port][,host[:port]...]`: the shard of a cluster that holds our slot; any
  nodes of it will do.

`rediss+sentinel://` and `rediss+cluster://` are the same over TLS, sentinels included.
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode

SCHEMES = tuple(f"{scheme}{group}://" for group in ("", "+sentinel", "+cluster") for scheme in ("redis", "rediss"))
_GROUP = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://((?P<who>[^/?#]*)@)?(?P<hosts>[^/?#@]+)"
    r"(/(?P<path>[^?#]*))?(\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<name>[^\[\]:\s]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_TAG = re.compile(r"\{[^}]+\}")
_SENTINEL_PASSWORD = "sentinel_password"  # noqa: S105 - the name of an option


class Endpoint(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Address:
    """What an URL means."""

    kind: Literal["server", "sentinel", "cluster"]
    url: str
    """The way to a server: TLS, credentials, database. In a group its host and port are those of an endpoint below."""
    endpoints: tuple[Endpoint, ...] = ()
    """Whom to ask where the primary is."""
    service: str = ""
    """The name of the primary among the sentinels."""
    sentinel_password: str | None = None


def parse(url: str) -> Address:
    """Read an URL. Raises ValueError, and does not repeat the URL in it: it holds a password."""
    if not url.startswith(SCHEMES):
        raise ValueError(f"it has to begin with {' or '.join(SCHEMES)}")
    if url.startswith(("redis://", "rediss://")):
        return Address("server", url)
    found = _GROUP.fullmatch(url)
    if found is None:
        raise ValueError("it has to name hosts, as in redis+sentinel://:password@host:26379,host:26379/service")
    is_sentinel = found["kind"] == "sentinel"
    endpoints = tuple(_endpoint(host, _PORTS[found["kind"]]) for host in found["hosts"].split(","))
    service, database = _path(found["path"] or "", is_sentinel)
    options = dict(parse_qsl(found["query"] or ""))
    password = options.pop(_SENTINEL_PASSWORD, None)
    host = f"[{endpoints[0].host}]" if ":" in endpoints[0].host else endpoints[0].host
    who = f"{found['who']}@" if found["who"] else ""
    query = f"?{urlencode(options)}" if options else ""
    line = f"{found['scheme']}://{who}{host}:{endpoints[0].port}/{database}{query}"
    return Address("sentinel" if is_sentinel else "cluster", line, endpoints, service, password)


def check_namespace(url: str, namespace: str) -> None:
    """Raise ValueError when this address needs another namespace: all keys of a cluster's system are in one slot."""
    if url.startswith(("redis+cluster:", "rediss+cluster:")) and not _TAG.search(namespace):
        raise ValueError(
            "on a cluster AUREA_NAMESPACE needs a hash tag, {aurea} for example, so that one shard holds all keys"
        )


def _endpoint(host: str, default_port: int) -> Endpoint:
    found = _HOST.fullmatch(host)
    port = int((found and found["port"]) or default_port)
    if found is None or not 0 < port < 65536:
        raise ValueError("a host has to look like name:port, and there is a comma between two")
    return Endpoint(found["name"].strip("[]"), port)


def _path(path: str, is_sentinel: bool) -> tuple[str, int]:
    """The service's name and the number of the database."""
    service, _, database = path.partition("/") if is_sentinel else ("", "", path)
    if is_sentinel and not service:
        raise ValueError(
            "it has to name the service that the sentinels watch, as in redis+sentinel://host:26379/service"
        )
    if not re.fullmatch(r"\d{0,4}", database):
        raise ValueError("the database has to be a number")
    if not is_sentinel and int(database or 0):
        raise ValueError("a cluster has only database 0")
    return service, int(database or 0)
