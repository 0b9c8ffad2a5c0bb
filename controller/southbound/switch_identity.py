"""Whether whoever connects as a switch is one, and which: the authority's signature alone says neither.

A switch's certificate names each datapath that it may speak for by a URI, ``urn:qslice:switch:`` and 16 hexadecimal
digits. An Open vSwitch has one certificate, which then names the datapath of each of its bridges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SWITCH_URN = "urn:qslice:switch:"

Certificate = Mapping[str, Any] | None
"""A verified certificate, as ``getpeercert`` gives it."""


def switch_urn(dpid: int) -> str:
    """How a certificate names the datapath ``dpid``."""
    return f"{SWITCH_URN}{dpid:016x}"


def check_switch(certificate: Certificate, name: str | None) -> None:
    """Raise PermissionError unless the certificate is one of the switches', whose common name is ``name``."""
    shown = certificate or {}
    names = [value for relative in shown.get("subject", ()) for kind, value in relative if kind == "commonName"]
    # A client of the KMS may have any common name, but its certificate says what it is by a URI.
    others = [uri for uri in _uris(certificate) if not uri.startswith(SWITCH_URN)]
    if name is not None and (others or names != [name]):
        raise PermissionError(f"its certificate is of {', '.join(others or names) or 'nobody'}, not of {name}")


def check_datapath(certificate: Certificate, dpid: int) -> None:
    """Raise PermissionError unless the certificate names the datapath ``dpid``."""
    if switch_urn(dpid) not in _uris(certificate):
        named = [uri.removeprefix(SWITCH_URN) for uri in _uris(certificate) if uri.startswith(SWITCH_URN)]
        holder = f"of datapath {', '.join(named)}" if named else "of no datapath"
        raise PermissionError(f"its certificate is {holder}, not of {dpid:016x} ({switch_urn(dpid)})")


def _uris(certificate: Certificate) -> list[str]:
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]
