"""Vendors' KMEs as a run's agents are told of them, with the files looked at before anything is started."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from kms.errors import PkiError
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from topologies.spec import Topology, VendorKme


def agents_vendors(topology: Topology, layout: Layout, prefix: str = "sae-") -> dict[str, dict[str, Any]]:
    """By site, what the configuration of its agent says of the vendor's KME, or of its shelf, with that ``prefix`` of
    its SAEs; WrongRequest when its files are no good."""
    vendors = {site.name: site.kme for site in topology.sites if site.kme is not None}
    known_as = {site: _sae_of(site, kme) for site, kme in vendors.items()}
    return {
        site: {
            "url": kme.url, "cert": kme.cert, "key": kme.key, "ca": kme.ca,
            "socket": str(layout.kme_door(site)),
            "peers": {f"{prefix}{peer}": known_as[peer] for peer in kme.qkd_with},
        }
        for site, kme in vendors.items()
    }  # fmt: skip


def doors(topology: Topology, layout: Layout) -> list[dict[str, Any]]:
    """What :mod:`scripts.testbed.life.kme_doors` is to open."""
    found = []
    for site in topology.sites:
        if site.kme is not None:
            host, port = site.kme.address
            found.append({"socket": str(layout.kme_door(site.name)), "host": host, "port": port})
    return found


def _sae_of(site: str, kme: VendorKme) -> str:
    """The id that the vendor's KME knows the site's tunnel by."""
    from kms.clients.conformance_client import sae_id_of  # only here: it takes time to load, and few have a vendor

    try:
        context = ssl.create_default_context(cafile=kme.ca)
        context.load_cert_chain(kme.cert, kme.key, password=_no_passphrase)
        return kme.sae or sae_id_of(Path(kme.cert))
    except (OSError, ssl.SSLError, ValueError, PkiError) as error:
        files = f"ca {kme.ca}, cert {kme.cert}, key {kme.key}"
        raise WrongRequest(f"site {site}: its kme's files cannot be used ({files}): {error}") from error


def _no_passphrase() -> str:
    raise ValueError("the key is under a passphrase, which nobody is there to type")
