"""Whether whoever connects as a switch is one: a certificate of the authority alone does not make it that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_switch(certificate: Mapping[str, Any] | None, name: str | None) -> None:
    """Raise PermissionError unless a verified certificate, as ``getpeercert`` gives it, is that of the switches."""
    shown = certificate or {}
    names = [value for relative in shown.get("subject", ()) for kind, value in relative if kind == "commonName"]
    # A client of the KMS may have any common name, but its certificate says what it is by a URI.
    uris = [value for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
    if name is not None and (uris or names != [name]):
        raise PermissionError(f"its certificate is of {', '.join(uris or names) or 'nobody'}, not of {name}")
