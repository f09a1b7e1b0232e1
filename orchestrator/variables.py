"""How the text of an environment variable becomes its value, and what is refused, each with what to write instead."""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

from orchestrator.domain.ids import is_tenant
from orchestrator.vault import master_keys

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


def split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def with_scheme(*schemes: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"it has to begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return BeforeValidator(check)


def check_redis(value: object, given: ValidationInfo) -> object:
    if isinstance(value, str):
        from orchestrator.queue import addresses  # the command line reads settings, and needs no store

        addresses.parse(value)
        addresses.check_namespace(value, str(given.data.get("aurea_namespace", "{aurea}")))
    return value


def check_master_keys(value: object) -> object:
    return master_keys.check_master_keys(value) if isinstance(value, str) else value


def check_sealable(tenants: tuple[str, ...], given: ValidationInfo) -> tuple[str, ...]:
    for name in tenants:
        if name != "*" and not is_tenant(name):
            raise ValueError(f"{name!r} names no tenant: write names between commas, or * for all")
    if "aurea_encryption_keys" in given.data:  # else they are wrong, and that is told
        master_keys.check_tenants(tenants, given.data["aurea_encryption_keys"])
    return tenants


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin: write it as browsers do, https://app.example or with a port")
    return origins


def check_networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            ip_network(name, strict=False)
        except ValueError:
            raise ValueError(f"{name!r} is no address or network: write 10.0.0.0/8, or 10.1.2.3") from None
    return names


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if hosts:
        from orchestrator.egress import addresses  # with the client, which most commands do not need

        addresses.Allowed(hosts)
    return hosts


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
SigningSecrets = Annotated[tuple[Annotated[SecretStr, Field(min_length=32)], ...], NoDecode, BeforeValidator(split)]
HttpUrl = Annotated[str, with_scheme("https", "http")]
