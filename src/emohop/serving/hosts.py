"""By which names the service is asked for, and by whose pages."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of the machine itself."""


def hosts_of(address: str, named: Collection[str]) -> tuple[str, ...]:
    """The names by which a server that listens at `address` may be asked for.

    They are those of the machine itself and those that are `named`; where others can reach it,
    any address in figures too (`*`), since a page of elsewhere can only use a name.
    """
    return (*LOOPBACK, *named, address, *(() if is_loopback(address) else ("*",)))


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_named(headers: Headers, hosts: Collection[str] | None) -> bool:
    """Whether a request asks for one of these names."""
    if hosts is None:
        return True
    name = _name(headers.get("host", ""))
    return name in {host.lower() for host in hosts} or ("*" in hosts and _in_figures(name))


def is_of_our_page(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a request is of no web page, of ours, or of one that is named."""
    origin = headers.get("origin")
    if origin is None or origin in origins or "*" in origins:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _in_figures(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
