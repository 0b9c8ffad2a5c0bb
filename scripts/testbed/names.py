"""The names of what runs: for shells to complete with, and for hosts to call each other's connections by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scripts.testbed.faults import Element, targets
from topologies.spec import Topology

# What a shell completes with (scripts.cli.grammar), by what the elements of a network are called.
KINDS = {
    "channel": Element.CHANNEL,
    "site": Element.SITE,
    "section": Element.SECTION,
    "risk": Element.RISK,
    "wavelength": Element.WAVELENGTH,
    "process": Element.PROCESS,
}


def names_file(topology: Topology, slices: Iterable[Mapping[str, Any]], logs: Iterable[str]) -> str:
    """A line for each name, after its kind; nothing in it is secret."""
    lines = [f"{kind} {name}" for kind, element in KINDS.items() for name in targets(topology, element)]
    lines += [f"fault {name}" for element in KINDS.values() for name in targets(topology, element)]
    lines += [f"log {name}" for name in logs]
    for each in slices:
        lines += [f"slice {each['name']}", f"connection {each['name']}"]
        lines += [f"connection {each['name']}/{connection['name']}" for connection in each["connections"]]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def hosts_file(site: str, slices: Iterable[Mapping[str, Any]], begin: str) -> str:
    """What ``/etc/hosts`` of a site's host says: ``begin``, then a line for each end of each of its connections.

    ``SITE.SLICE`` is the end at that site of the first connection there, ``CONNECTION.SLICE`` the far end of one.
    """
    lines = [begin.rstrip("\n"), f"# connections of {site}, as slices have them now"]
    known: set[str] = set()
    for address, names in _ends(site, slices):
        fresh = [name for name in names if name not in known]
        known.update(fresh)
        if fresh:
            lines.append(f"{address} {' '.join(fresh)}")
    return "\n".join(lines) + "\n"


def _ends(site: str, slices: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in slices:
        for connection in each["connections"]:
            ends = {connection["src"]: connection["src_address"], connection["dst"]: connection["dst_address"]}
            if site not in ends or None in ends.values():
                continue
            for at, address in ends.items():
                own = f"{at}.{each['name']}"
                yield address, (own,) if at == site else (own, f"{connection['name']}.{each['name']}")
