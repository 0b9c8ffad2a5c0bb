"""Request targets in each of their forms (RFC 9112, 3.2), and which hosts are ours (RFC 9110, 7.2 and 7.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from controller.northbound.http.problems import Problem

ASTERISK = "*"
"""The target of an OPTIONS request that asks about the server as a whole."""

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]*)?")  # RFC 3986, 3.2, no user


def split_target(method: str, target: str) -> tuple[str | None, str]:
    """The authority that the target names, None where it names none, and its path with the query. Raises Problem."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        scheme, authority, rest = absolute.groups()
        if scheme.lower() != "http":
            raise Problem(HTTPStatus.MISDIRECTED_REQUEST, f"this is no server for {scheme.lower()[:16]}")
        if not rest and method == "OPTIONS":
            return authority, ASTERISK
        return authority, rest if rest.startswith("/") else f"/{rest}"
    if target.startswith("/") or (target == ASTERISK and method == "OPTIONS"):
        return None, target
    if method == "CONNECT":
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, "this is no proxy")
    raise Problem(HTTPStatus.BAD_REQUEST, "the target is neither a path nor a whole URI")


class Hosts:
    """The hosts under whose names the API answers.

    A page of any site can have its own name resolve to our address, and then read what the API tells without a token
    through the browser of whoever looks at it (DNS rebinding). The browser says the page's name as Host: it is none of
    ours. An address cannot be rebound: those of the loopback interface, and the one connected to, are ours.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(canonical_host(name) for name in ("localhost", *names))

    def check(self, authority: str, local_address: str) -> None:
        """Raise Problem: 400 when ``authority`` (host and port) is none, 421 when its host is not one of ours."""
        matched = _AUTHORITY.fullmatch(authority.strip(" \t"))
        if matched is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "Host: must be one host, with or without a port")
        host = canonical_host(matched[1])
        if host in self._names or host == canonical_host(local_address) or _is_loopback(host):
            return
        detail = f"Host: {host[:64]} is no name of this API; the configuration's api.hosts lists further ones"
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, detail)


def canonical_host(host: str) -> str:
    """One spelling for each name and each address."""
    bare = host.strip("[]").partition("%")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return host.lower().removesuffix(".")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
