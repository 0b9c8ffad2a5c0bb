"""Vendors' key management entities in a topology's document: what is wrong with them, each with its path. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from topologies.files.located_yaml import Path
from topologies.files.problems import Problem, did_you_mean
from topologies.files.schema import Document, KmePart, SitePart
from topologies.spec import Topology, VendorKme, path_problem, url_problem


def vendor_of(site: SitePart) -> VendorKme | None:
    """The site's; its fields have been checked."""
    kme = site.kme
    return None if kme is None else VendorKme(kme.url, kme.ca, kme.cert, kme.key, kme.sae, kme.qkd_with)


def vendor_problems(document: Document) -> list[Problem]:
    """None where everything is as it should be."""
    vendors = {site.name: site.kme for site in document.sites if site.kme is not None}
    names = [site.name for site in document.sites]
    found: list[Problem] = []
    for n, site in enumerate(document.sites):
        if site.kme is not None:
            path: Path = ("sites", n, "kme")
            found += [*_fields(path, site.kme), *_peers((*path, "qkd_with"), site.name, site.kme, names, vendors)]
    return found


def _fields(path: Path, kme: KmePart) -> Iterator[Problem]:
    wrong = url_problem(kme.url)
    if wrong is not None:
        yield Problem((*path, "url"), wrong)
    for role in ("ca", "cert", "key"):
        problem = path_problem(getattr(kme, role))
        if problem is not None:
            yield Problem((*path, role), problem)


def _peers(
    path: Path, name: str, kme: KmePart, names: list[str], vendors: dict[str, KmePart]
) -> Iterator[Problem]:  # fmt: skip
    for m, peer in enumerate(kme.qkd_with):
        here = (*path, m)
        if peer in kme.qkd_with[:m]:
            yield Problem(here, f"{peer!r} is named twice", "name it once")
        elif peer == name:
            yield Problem(here, "it is the site itself", "name the other end")
        elif peer not in names:
            yield Problem(here, f"there is no site {peer!r}", did_you_mean(peer, names, "sites"))
        elif peer not in vendors:
            yield Problem(here, f"site {peer} has no `kme`", "keys of QKD need a vendor's KME at both ends")
        elif name not in vendors[peer].qkd_with:
            yield Problem(here, f"site {peer} does not say so of {name}", f"add {name} to its qkd_with, or take it out")


def from_folder(topology: Topology, folder: str) -> Topology:
    """The same with the files that are named relative to the folder of the topology's file named in full."""
    sites = tuple(
        site if site.kme is None else replace(site, kme=_absolute(site.kme, folder)) for site in topology.sites
    )
    return topology if sites == topology.sites else replace(topology, sites=sites)


def _absolute(kme: VendorKme, folder: str) -> VendorKme:
    ca, cert, key = (posixpath.normpath(posixpath.join(folder, path)) for path in (kme.ca, kme.cert, kme.key))
    return replace(kme, ca=ca, cert=cert, key=key)
