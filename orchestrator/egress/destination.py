"""Addresses that users hand in: refused at once for what needs no look at the network.

What a name resolves to is checked when it is dialled, by the guarded client, and each time anew.
"""

import socket
from ipaddress import IPv4Address, ip_address

import httpx2

from orchestrator.egress.addresses import Allowed, is_public

LONGEST = 2_048
_NEVER_PUBLIC = ("localhost", "localdomain", "local", "internal", "home.arpa")
"""Below these nobody can have a name that the public internet knows (RFC 6761, 6762, 8375, ICANN for `internal`)."""


def check_destination(text: str) -> str:
    """Return a URL that a request can be sent to. Raises ValueError, which says what is wrong."""
    if len(text) > LONGEST:
        raise ValueError(f"has to be at most {LONGEST} characters long")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("must not hold spaces or control characters: escape them")
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError(f"is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("has to start with http:// or https:// and a host")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise ValueError("has to have a port from 1 to 65535, or none")
    if url.userinfo:
        raise ValueError("must not hold a user or password: what is sent is signed")
    if url.fragment:
        raise ValueError("must not have a fragment (#): it would not be sent")
    return text


def refusal(text: str, allowed: Allowed) -> str | None:
    """Return why a checked URL will never be reached: its host can only be private, and it is not allowed."""
    url = httpx2.URL(text)
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.raw_host.decode().strip("[]").rstrip(".").lower()  # as it is dialled
    if allowed.holds(host, port):
        return None
    address = _literal(host)
    if address is not None:
        lack = None if is_public(address) else "is not a public address"
    elif "." not in host:
        lack = "is a name of a private network alone: the public internet has no host without a dot"
    else:
        private = host.endswith(tuple(f".{ending}" for ending in _NEVER_PUBLIC))
        lack = "is a name that private networks alone have" if private else None
    return None if lack is None else f"{host} {lack}; if it is meant, add it to AUREA_ALLOW_PRIVATE_HOSTS"


def _literal(host: str) -> str | None:
    """The address that a host spells, decimal, octal and shortened forms included; None for a name."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return str(IPv4Address(socket.inet_aton(host)))
    except OSError:
        return None
