"""Which addresses a request may go to: public ones, and those an operator named.

`ip.is_global` alone is not enough: it says yes to multicast and to IPv6 addresses that carry a private IPv4 address
inside. Those are unfolded, or refused where the scheme is obsolete.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_LAST_PORT = 65_535
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED = [
    ip_network(text)
    for text in (
        "192.88.99.0/24",  # 6to4 relays
        "2002::/16",  # 6to4
        "2001::/23",  # Teredo and other protocol assignments
        "3fff::/20",  # documentation
    )
]


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet, whatever it is wrapped in. A zone index never does."""
    try:
        address = _unfolded(ip_address(text))
    except ValueError:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and (address.version == 4 or address in _GLOBAL_UNICAST)
        and not any(address in network for network in _REFUSED if network.version == address.version)
        and not _is_isatap(address)
    )


def _unfolded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_isatap(address: IPv4Address | IPv6Address) -> bool:
    """Whether the lower half of an address is a tunnel to the IPv4 address at its end (RFC 5214)."""
    return address.version == 6 and int(address) >> 32 & 0xFFFFFFFF in (0x5EFE, 0x0200_5EFE)


class Allowed:
    """Hosts that may be private: names or addresses as they stand in the URL, each for all ports or for one.

    `db.internal`, `db.internal:8080`, `10.0.0.7`, `[fd00::7]:443`. A name is matched as written: allowing `10.0.0.7`
    does not allow another name that resolves to it.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._pairs = frozenset(_pair(host) for host in hosts)

    def holds(self, host: str, port: int) -> bool:
        name = _canonical(host)
        return (name, port) in self._pairs or (name, None) in self._pairs


def _pair(text: str) -> tuple[str, int | None]:
    """Raises ValueError for what is not a host, or a host and a port."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") != 1:  # a name alone, or an IPv6 address without brackets
        host, colon, port = text, "", ""
    name = _canonical(host)
    is_port = not colon or (port.isascii() and port.isdigit() and 1 <= int(port) <= _LAST_PORT)
    if not is_port or not (_NAME.fullmatch(name) or _is_address(name)):
        raise ValueError(f"{text!r} is not a host, or host:port: write it as api.internal or 10.0.0.7:8080")
    return name, int(port) if colon else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _canonical(host: str) -> str:
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(host))
    except ValueError:
        return host
