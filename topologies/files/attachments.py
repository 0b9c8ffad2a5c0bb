"""Interfaces of the machine in a topology's document: what is wrong with them, each with its path. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.files.located_yaml import Path
from topologies.files.problems import Problem
from topologies.files.schema import Document, FibreChannelPart
from topologies.spec import INTERFACE_NAME, interface_rule


def attachment_problems(document: Document) -> list[Problem]:
    """None where everything is as it should be."""
    users = list(_attached(document))
    return [*_fibres(document), *_sites(document, users), *_channels(document, users)]


def _attached(document: Document) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Channels that run between attached interfaces: where they stand, and their ends."""
    for n, channel in enumerate(document.channels):
        if channel.attached:
            yield ("channels", n, "attached"), (channel.a, channel.b)
    for n, fibre in enumerate(document.fibres):
        if fibre.attached:
            yield ("fibres", n, "attached"), (fibre.a, fibre.b)


def _fibres(document: Document) -> Iterator[Problem]:
    for n, fibre in enumerate(document.fibres):
        if not fibre.attached:
            continue
        if len(fibre.channels) > 1:
            yield Problem(("fibres", n, "channels", 1), "an attached fibre has one channel", "an interface carries one")
        if any(isinstance(entry, FibreChannelPart) and entry.dark for entry in fibre.channels):
            yield Problem(
                ("fibres", n, "channels", 0), "an attached channel cannot be dark", "leave one of the two out"
            )
    for n, channel in enumerate(document.channels):
        if channel.attached and channel.dark:
            yield Problem(("channels", n, "dark"), "an attached channel cannot be dark", "leave one of the two out")


def _sites(document: Document, users: list[tuple[Path, tuple[str, str]]]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for n, site in enumerate(document.sites):
        name, path = site.attach, ("sites", n, "attach")
        if name is None:
            continue
        if not INTERFACE_NAME.fullmatch(name):
            yield Problem(path, interface_rule(name))
        elif name in seen:
            yield Problem(path, f"{name} is attached at {seen[name]} already", "name another interface")
        elif not any(site.name in ends for _, ends in users):
            yield Problem(path, f"no fibre or channel uses {name}", "mark one at this site `attached: true`")
        seen.setdefault(name, site.name)


def _channels(document: Document, users: list[tuple[Path, tuple[str, str]]]) -> Iterator[Problem]:
    attached = {site.name: site.attach for site in document.sites}
    used: set[str] = set()
    for path, ends in users:
        for end in ends:
            if end in attached and attached[end] is None:
                yield Problem(path, f"no interface is attached at {end}", f"give the site {end} `attach: INTERFACE`")
            elif end in used:
                yield Problem(path, f"{attached[end]} at {end} has a channel already", "an interface carries one")
            used.add(end)
