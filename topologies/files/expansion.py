"""From a document whose fields are well formed to the network it describes: fibres become what they consist of. Pure.

References, names and what belongs together are checked here, each with its path, so that whoever wrote the document
learns of everything at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from topologies.files.attachments import attachment_problems
from topologies.files.layout import place_sites
from topologies.files.located_yaml import Path
from topologies.files.problems import Problem, did_you_mean
from topologies.files.schema import (
    CLASS_NAMES,
    ChannelPart,
    Document,
    FibreChannelPart,
    FibrePart,
    FibreQkdPart,
    NamedChannel,
    QkdPart,
    SitePart,
    WavelengthPart,
)
from topologies.files.vendors import vendor_of, vendor_problems
from topologies.files.wavelengths import contradiction, declared, end_problems, foreign_field, own
from topologies.spec import (
    RESERVED_NAMES,
    Allocation,
    Channel,
    QkdLink,
    QkdSection,
    SecurityClass,
    Site,
    Tier,
    Topology,
    TopologyError,
    Wavelength,
)

MOST_REMEDIES = 20


class CannotExpand(Exception):
    """The document describes no network; ``problems`` says why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)


def expand(document: Document, mbps_per_gbps: float, shaped: bool) -> Topology:
    """The network, its capacities multiplied by ``mbps_per_gbps``. Raises CannotExpand."""
    return _Expansion(document, mbps_per_gbps).topology(shaped)


class _Expansion:
    """Gathers the parts of the network, and the problems on the way."""

    def __init__(self, document: Document, mbps_per_gbps: float) -> None:
        self._document, self._scale = document, mbps_per_gbps
        self._problems: list[Problem] = []
        self._site_names: dict[str, Path] = {}
        self._wavelengths: dict[str, Wavelength] = {}
        self._circuits: dict[str, list[Path]] = {}
        self._channels: dict[str, Channel] = {}
        self._sections: dict[str, QkdSection] = {}
        self._links: dict[str, QkdLink] = {}
        self._places: dict[tuple[str, str], Path] = {}

    def topology(self, shaped: bool) -> Topology:
        document = self._document
        for n, site in enumerate(document.sites):
            self._check_site(("sites", n), site)
        self._problems += [*vendor_problems(document), *attachment_problems(document)]
        for n, wavelength in enumerate(document.wavelengths):
            if self._is_new("wavelength", wavelength.id, ("wavelengths", n, "id")):
                self._add_wavelength(("wavelengths", n), wavelength.id, wavelength)
        self._problems += end_problems(document.wavelengths, self._site_names)
        for n, section in enumerate(document.sections or ()):
            ends = (section.a, section.b)
            self._add_section(("sections", n), section.id, ends, section.km, section.risk_groups, section)
        for n, channel in enumerate(document.channels):
            self._add_given_channel(("channels", n), channel)
        for n, fibre in enumerate(document.fibres):
            self._add_fibre(("fibres", n), fibre)
        self._add_given_links()
        self._check_client_ports()
        if self._problems:
            raise CannotExpand(self._problems)
        try:
            return Topology(
                document.name, self._sites(), tuple(self._wavelengths.values()), tuple(self._channels.values()),
                tuple(self._sections.values()), tuple(self._links.values()), document.description,
                shaped and document.shaped, Allocation(document.allocation), self._scale,
            )  # fmt: skip
        except TopologyError as error:
            raise CannotExpand([Problem((), str(error))]) from error

    def _complain(self, path: Path, message: str, remedy: str = "") -> None:
        self._problems.append(Problem(path, message, remedy))

    def _is_new(self, kind: str, name: str, path: Path) -> bool:
        """Whether nothing else of that kind has the name; it does from now on."""
        before = self._places.setdefault((kind, name), path)
        if before is path:
            return True
        first = Problem(before, "").place
        self._complain(path, f"{name!r} is the {kind} of {first} already", "give one of them another name")
        return False

    def _complain_of(self, path: Path, message: str, word: str | None, known: Iterable[str], what: str) -> None:
        """Of a word that is not known; the first ones with what may be meant, which takes time to find."""
        is_early = len(self._problems) < MOST_REMEDIES
        self._complain(path, message, did_you_mean(word, known, what) if is_early else "")

    def _is_site(self, name: str, path: Path) -> bool:
        if name in self._site_names:
            return True
        self._complain_of(path, f"there is no site {name!r}", name, self._site_names, "sites")
        return False

    def _are_ends(self, path: Path, a: str, b: str) -> bool:
        known = [self._is_site(a, (*path, "a")), self._is_site(b, (*path, "b"))]
        if a == b:
            self._complain((*path, "b"), f"both ends are {a!r}", "name another site")
        return all(known) and a != b

    def _check_site(self, path: Path, site: SitePart) -> None:
        if site.name in RESERVED_NAMES:
            self._complain((*path, "name"), f"{RESERVED_NAMES[site.name]} is called {site.name!r}", "choose another")
        self._is_new("site", site.name, (*path, "name"))
        self._site_names[site.name] = path
        if (site.x is None) != (site.y is None):
            self._complain(path, "x and y go together", "give both, or neither")

    def _sites(self) -> tuple[Site, ...]:
        given = {s.name: (s.x, s.y) for s in self._document.sites if s.x is not None and s.y is not None}
        places: dict[str, tuple[float, float]] = given
        if len(given) < len(self._document.sites):
            tiers = {s.name: Tier(s.tier) for s in self._document.sites}
            places = place_sites(tiers, [c.ends for c in self._channels.values()], given)
        return tuple(
            Site(
                s.name,
                Tier(s.tier),
                s.vcpus,
                s.memory_gb,
                *places[s.name],
                s.label,
                vendor_of(s),
                s.attach or "",
                s.optical_switch,
            )
            for s in self._document.sites
        )

    def _add_wavelength(self, path: Path, name: str, part: WavelengthPart | FibreChannelPart) -> None:
        try:
            self._wavelengths[name] = declared(part) if isinstance(part, WavelengthPart) else own(name, part)
        except TopologyError as error:
            self._problems.append(contradiction(path, error, part))
            self._wavelengths[name] = Wavelength(name, SecurityClass.parse(part.class_ or ""))  # what refers to it is

    def _add_given_channel(self, path: Path, channel: ChannelPart) -> None:
        wavelength = self._wavelengths.get(channel.wavelength)
        if wavelength is None:
            message = f"there is no wavelength {channel.wavelength!r}"
            self._complain_of((*path, "wavelength"), message, channel.wavelength, self._wavelengths, "wavelengths")
        if self._are_ends(path, channel.a, channel.b) and wavelength is not None:
            self._add_channel(
                (*path, "id"), channel.id, channel.a, channel.b, wavelength, channel.capacity_gbps, channel.km,
                channel.risk_groups, channel.dark, channel.attached,
            )  # fmt: skip

    def _add_channel(
        self,
        path: Path,
        channel_id: str,
        a: str,
        b: str,
        wavelength: Wavelength,
        gbps: float | None,
        km: float,
        risks: Iterable[str],
        dark: bool,
        attached: bool,
    ) -> None:
        if not self._is_new("channel", channel_id, path):
            return
        self._circuits.setdefault(wavelength.id, []).append(path)
        most = wavelength.capacity_gbps
        if gbps is not None and gbps > most:
            self._complain(path, f"capacity_gbps {gbps:g} is more than its wavelength {wavelength.id} has: {most:g}",
                           "lower it, or raise the wavelength's")  # fmt: skip
            gbps = most
        gbps = most if gbps is None else gbps
        self._channels[channel_id] = Channel(
            channel_id, a, b, wavelength.id, wavelength.security, gbps * self._scale, km,
            frozenset({wavelength.id, *risks}), dark, attached and not dark,
        )  # fmt: skip

    def _add_fibre(self, path: Path, fibre: FibrePart) -> None:
        name = fibre.name or f"{fibre.a}-{fibre.b}"
        if not self._are_ends(path, fibre.a, fibre.b):
            return
        ends = "-".join(sorted((fibre.a, fibre.b)))
        before = self._places.setdefault(("unnamed fibre", ends), path)
        if fibre.name is None and before is not path:
            first = Problem(before, "").place
            self._complain(path, f"{first} joins these sites already", "give the second fibre a `name` of its own")
            return
        if not self._is_new("fibre", name, (*path, "name") if fibre.name else path):
            return
        risks = (f"fibre-{name}",) if fibre.risk_groups is None else fibre.risk_groups
        for n, entry in enumerate(fibre.channels):
            self._add_fibre_channel((*path, "channels", n), fibre, name, entry, risks)
        if self._has_section(fibre):
            sections = self._add_fibre_sections((*path, "qkd"), fibre, name, risks)
            if self._document.qkd_links is None and self._is_new("QKD link", name, path):
                self._links[name] = QkdLink(name, fibre.a, fibre.b, sections)

    def _add_fibre_sections(self, path: Path, fibre: FibrePart, name: str, risks: Iterable[str]) -> tuple[str, ...]:
        """The ids of its section, or of those between its trusted nodes, from ``a`` to ``b``."""
        parameters = fibre.qkd if isinstance(fibre.qkd, FibreQkdPart) else FibreQkdPart()
        count = parameters.trusted_nodes
        nodes = [fibre.a, *(f"{name}-tn{n}" for n in range(1, count + 1)), fibre.b]
        ids = [f"q-{name}"] if count == 0 else [f"q-{name}-{n}" for n in range(1, count + 2)]
        for section_id, ends in zip(ids, pairwise(nodes), strict=True):
            self._add_section(path, section_id, ends, fibre.km / (count + 1), risks, parameters)
        return tuple(ids)

    def _add_fibre_channel(
        self, path: Path, fibre: FibrePart, name: str, entry: NamedChannel | FibreChannelPart, risks: Iterable[str]
    ) -> None:
        if isinstance(entry, NamedChannel):
            is_class = entry.word in CLASS_NAMES
            entry = (
                FibreChannelPart.model_validate({"class": entry.word})
                if is_class
                else FibreChannelPart.model_construct(wavelength=entry.word)
            )
        if (entry.class_ is None) == (entry.wavelength is None):
            self._complain(path, "it needs a class or a wavelength, one of the two", "remove or add one")
            return
        misplaced = foreign_field(path, entry)
        if misplaced is not None:
            self._problems.append(misplaced)
        suffix = entry.class_ or entry.wavelength
        channel_id = entry.id or f"{name}-{suffix}"
        if entry.class_ is None:
            shared = self._wavelengths.get(entry.wavelength or "")
            if shared is None:
                known = [*CLASS_NAMES, *(w.id for w in self._document.wavelengths)]
                message = f"{entry.wavelength!r} is neither a class nor a wavelength"
                self._complain_of(path, message, entry.wavelength, known, "classes and wavelengths")
                return
            self._add_channel(
                path,
                channel_id,
                fibre.a,
                fibre.b,
                shared,
                entry.capacity_gbps,
                fibre.km,
                risks,
                entry.dark,
                fibre.attached,
            )
            return
        if ("channel", channel_id) in self._places and entry.id is None:
            self._complain(
                path, f"a channel {channel_id!r} is there already", f"give this one an id: {{class: {suffix}, id: ...}}"
            )
            return
        if len(channel_id) > 64:
            self._complain(path, f"its id {channel_id!r} has more than 64 characters", "give it a shorter `id`")
            return
        if self._is_new("wavelength", channel_id, path):
            self._add_wavelength(path, channel_id, entry)
            self._add_channel(path, channel_id, fibre.a, fibre.b, self._wavelengths[channel_id], None, fibre.km, risks,
                              entry.dark, fibre.attached)  # fmt: skip

    def _has_section(self, fibre: FibrePart) -> bool:
        if fibre.qkd is not None:
            return fibre.qkd is not False
        if fibre.attached:
            return False
        return self._document.sections is None and any(self._is_lit_qkd(entry) for entry in fibre.channels)

    def _is_lit_qkd(self, entry: NamedChannel | FibreChannelPart) -> bool:
        if isinstance(entry, NamedChannel):
            shared = self._wavelengths.get(entry.word)
            return entry.word == "qkd" or (shared is not None and shared.security is SecurityClass.QKD)
        shared = self._wavelengths.get(entry.wavelength or "")
        is_qkd = entry.class_ == "qkd" or (shared is not None and shared.security is SecurityClass.QKD)
        return is_qkd and not entry.dark

    def _add_section(
        self,
        path: Path,
        section_id: str,
        ends: tuple[str, str],
        km: float,
        risks: Iterable[str],
        parameters: QkdPart,
    ) -> None:
        a, b = ends
        if a == b:
            self._complain((*path, "b"), f"both ends are {a!r}", "name another node")
            return
        if not self._is_new("section", section_id, path):
            return
        values: dict[str, Any] = {name: getattr(parameters, name) for name in QkdPart.model_fields}
        try:
            self._sections[section_id] = QkdSection(section_id, a, b, km, risk_groups=frozenset(risks), **values)
        except TopologyError as error:
            self._complain(path, str(error).partition(": ")[2])

    def _add_given_links(self) -> None:
        for n, link in enumerate(self._document.qkd_links or ()):
            path: Path = ("qkd_links", n)
            unknown = [m for m, section in enumerate(link.sections) if section not in self._sections]
            for m in unknown:
                name = link.sections[m]
                message = f"there is no section {name!r}"
                self._complain_of((*path, "sections", m), message, name, self._sections, "sections")
            if not self._are_ends(path, link.a, link.b) or not self._is_new("QKD link", link.id, (*path, "id")):
                continue
            if not unknown and not _meet([self._sections[s] for s in link.sections]):
                self._complain((*path, "sections"), "they do not meet end to end", "list them in the order of the way")
            self._links[link.id] = QkdLink(link.id, link.a, link.b, link.sections)

    def _check_client_ports(self) -> None:
        for wavelength in self._wavelengths.values() if self._document.allocation == "shared" else ():
            circuits = self._circuits.get(wavelength.id, [])
            if len(circuits) > wavelength.client_ports:
                self._complain(
                    circuits[wavelength.client_ports],
                    f"wavelength {wavelength.id} has {wavelength.client_ports} client ports, and none is left",
                    "use another wavelength, or raise its client_ports",
                )


def _meet(sections: list[QkdSection]) -> bool:
    """Whether they can be walked in a row, each entered where the one before was left."""
    return any(_walks(sections, node) for node in (sections[0].a, sections[0].b))


def _walks(sections: list[QkdSection], node: str) -> bool:
    for section in sections:
        if node not in (section.a, section.b):
            return False
        node = section.b if node == section.a else section.a
    return True
