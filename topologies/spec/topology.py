"""A whole network: its parts, checked against each other, its switch ports, and its form in JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from topologies.spec.allocation import Allocation
from topologies.spec.channel import ROUNDING, Channel, Wavelength
from topologies.spec.errors import TopologyError
from topologies.spec.qkd import QkdLink, QkdSection
from topologies.spec.security import SecurityClass
from topologies.spec.site import INTERFACE_NAME_LENGTH, ROOT_MANAGEMENT_INDEX, HostSpec, Site, Tier
from topologies.spec.vendor import vendor_from_dict

DATAPATH_MARK = 0x5100_0000_0000  # in the id of every switch of ours, and of nobody else's


@dataclass(frozen=True)
class Port:
    """One end of a channel, or the host's attachment (``channel`` None), on a site's switch."""

    site: str
    number: int
    interface: str
    channel: str | None


@dataclass(frozen=True)
class Topology:
    """A whole network. Raises TopologyError when its parts do not fit together."""

    name: str
    sites: tuple[Site, ...]
    wavelengths: tuple[Wavelength, ...]
    channels: tuple[Channel, ...]
    sections: tuple[QkdSection, ...] = ()
    qkd_links: tuple[QkdLink, ...] = ()
    description: str = ""
    shaped: bool = True  # False leaves the channels at the machine's own speed, for throughput measurements
    allocation: Allocation = Allocation.SHARED
    mbps_per_gbps: float = 1.0  # how much slower than its wavelengths' capacities say it is emulated
    _site_index: dict[str, int] = field(init=False, repr=False, compare=False)
    _channel_index: dict[str, Channel] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_site_index", {s.name: i for i, s in enumerate(self.sites, start=1)})
        object.__setattr__(self, "_channel_index", {c.id: c for c in self.channels})
        if not self.sites:
            raise TopologyError(f"topology {self.name}: it has no sites")
        for kind, ids in (
            ("site", [s.name for s in self.sites]),
            ("wavelength", [w.id for w in self.wavelengths]),
            ("channel", [c.id for c in self.channels]),
            ("section", [s.id for s in self.sections]),
            ("QKD link", [q.id for q in self.qkd_links]),
        ):
            _require_unique(kind, ids)
        self._check_channels()
        self._check_qkd()
        self._check_vendors()
        self._check_attached()

    def _check_channels(self) -> None:
        wavelengths = {w.id: w for w in self.wavelengths}
        for channel in self.channels:
            for end in channel.ends:
                if end not in self._site_index:
                    raise TopologyError(f"channel {channel.id}: there is no site {end!r}")
            wavelength = wavelengths.get(channel.wavelength)
            if wavelength is None:
                raise TopologyError(f"channel {channel.id}: there is no wavelength {channel.wavelength!r}")
            if channel.security is not wavelength.security:
                raise TopologyError(
                    f"channel {channel.id}: its class {channel.security.label} is not that of its wavelength "
                    f"{wavelength.id} ({wavelength.security.label})"
                )
            if channel.wavelength not in channel.risk_groups:
                raise TopologyError(f"channel {channel.id}: its wavelength must be among its risk_groups")
        for wavelength in self.wavelengths:
            for end in wavelength.ends or ():
                if end not in self._site_index:
                    raise TopologyError(f"wavelength {wavelength.id}: there is no site {end!r}")
        for channel in self.channels:
            most = wavelengths[channel.wavelength].capacity_gbps * self.mbps_per_gbps
            if channel.capacity_mbps > most * (1 + ROUNDING):
                raise TopologyError(
                    f"channel {channel.id}: {channel.capacity_mbps:g} Mbit/s are more than the {most:g} Mbit/s of its "
                    f"wavelength {channel.wavelength}"
                )
        for wavelength_id, used in Counter(c.wavelength for c in self.channels).items():
            if self.allocation is Allocation.CIRCUIT:
                break  # ports are taken by connections, not by circuits
            if used > wavelengths[wavelength_id].client_ports:
                ports = wavelengths[wavelength_id].client_ports
                raise TopologyError(f"wavelength {wavelength_id}: {used} circuits on {ports} client ports")

    def _check_qkd(self) -> None:
        sections = {s.id: s for s in self.sections}
        for link in self.qkd_links:
            for end in (link.a, link.b):
                if end not in self._site_index:
                    raise TopologyError(f"QKD link {link.id}: there is no site {end!r}")
            for section in link.sections:
                if section not in sections:
                    raise TopologyError(f"QKD link {link.id}: there is no section {section!r}")
            for left, right in zip(link.sections, link.sections[1:], strict=False):
                if not {sections[left].a, sections[left].b} & {sections[right].a, sections[right].b}:
                    raise TopologyError(f"QKD link {link.id}: sections {left} and {right} do not meet")

    def _check_vendors(self) -> None:
        """Both ends must say so of each other: keys of QKD that one end alone was promised are none."""
        for site in self.sites:
            for peer in () if site.kme is None else site.kme.qkd_with:
                other = self.site(peer).kme if peer in self._site_index and peer != site.name else None
                if other is None or site.name not in other.qkd_with:
                    raise TopologyError(
                        f"site {site.name}: its kme is said to serve QKD with {peer!r}, which does not say so of it"
                    )

    def _check_attached(self) -> None:
        """An interface is one port, and carries one channel."""
        names = [site.attach for site in self.sites if site.attach]
        _require_unique("attached interface", names)
        for site in self.sites:
            users = [c.id for c in self._channels_by_site[site.name] if c.attached]
            if users and not site.attach:
                raise TopologyError(f"site {site.name}: channel {users[0]} is attached, and no interface is: `attach`")
            if len(users) > 1:
                raise TopologyError(f"site {site.name}: channels {' and '.join(users[:2])} share {site.attach}")
            if site.attach and not users:
                raise TopologyError(f"site {site.name}: no channel is attached that would use {site.attach}")

    @property
    def attached_interfaces(self) -> tuple[str, ...]:
        """Interfaces of the machine that are ports of switches, and not made."""
        return tuple(site.attach for site in self.sites if site.attach)

    def with_attached(self, interfaces: Mapping[str, str]) -> Topology:
        """The same with other interfaces at those sites. TopologyError where no channel is attached."""
        for site in interfaces:
            if site not in self._site_index:
                raise TopologyError(f"there is no site {site!r}; there are {', '.join(self.site_names)}")
        sites = tuple(replace(s, attach=interfaces.get(s.name, s.attach)) for s in self.sites)
        return replace(self, sites=sites)

    def is_vendors_pair(self, a: str, b: str) -> bool:
        """Whether QKD keys between two sites are a vendor's matter: one of them fetches keys from a KME of its own."""
        return self.site(a).kme is not None or self.site(b).kme is not None

    def vendor_link(self, a: str, b: str) -> str | None:
        """The name of the key link between two sites whose vendor's KMEs serve QKD for the pair, as the operator says.

        What it gives is not known: ETSI GS QKD 014 has no rates. None where nobody says so.
        """
        kme = self.site(a).kme
        return f"vendor:{min(a, b)}-{max(a, b)}" if kme is not None and b in kme.qkd_with else None

    def cards_of(self, wavelength_id: str) -> tuple[str, str] | None:
        """The sites at which the wavelength's cards stand: as it says, else the ends of its first circuit.

        None where it has no circuit.
        """
        return self._cards[wavelength_id]

    @cached_property
    def _wavelength_index(self) -> dict[str, Wavelength]:
        return {w.id: w for w in self.wavelengths}

    @cached_property
    def _cards(self) -> dict[str, tuple[str, str] | None]:
        first: dict[str, tuple[str, str]] = {}
        for channel in self.channels:
            first.setdefault(channel.wavelength, channel.ends)
        return {w.id: w.ends or first.get(w.id) for w in self.wavelengths}

    @property
    def site_names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.sites)

    def site(self, name: str) -> Site:
        return self.sites[self._site_index[name] - 1]

    def has_site(self, name: str) -> bool:
        return name in self._site_index

    def wavelength(self, wavelength_id: str) -> Wavelength:
        return self._wavelength_index[wavelength_id]

    def channel(self, channel_id: str) -> Channel:
        return self._channel_index[channel_id]

    def has_channel(self, channel_id: str) -> bool:
        return channel_id in self._channel_index

    def channels_of(self, site: str) -> tuple[Channel, ...]:
        return tuple(self._channels_by_site.get(site, ()))

    @cached_property
    def _channels_by_site(self) -> dict[str, list[Channel]]:
        found: dict[str, list[Channel]] = {name: [] for name in self._site_index}
        for channel in self.channels:
            for end in channel.ends:
                found[end].append(channel)
        return found

    def risk_groups(self) -> tuple[str, ...]:
        """What can fail as a whole: wavelengths, fibres, ducts."""
        of_channels = (channel.risk_groups for channel in self.channels)
        of_sections = (section.risk_groups for section in self.sections)
        return tuple(sorted(frozenset[str]().union(*of_channels, *of_sections)))

    def require_room(self) -> None:
        """TopologyError beyond the 254 sites that the emulation's address plan has room for."""
        most = ROOT_MANAGEMENT_INDEX - 1
        if len(self.sites) > most:
            raise TopologyError(
                f"topology {self.name} has {len(self.sites)} sites, and at most {most} can be emulated: each site has "
                f"a management network 10.254.N.0/30, N from 1 to {most}. That cannot be raised: leave sites out"
            )

    def host(self, site: str) -> HostSpec:
        """The site's host. TopologyError beyond those that can be emulated."""
        index = self._site_index[site]
        if index >= ROOT_MANAGEMENT_INDEX:
            raise TopologyError(f"site {site} is number {index}: at most {ROOT_MANAGEMENT_INDEX - 1} can be emulated")
        return HostSpec(site, index)

    def dpid(self, site: str) -> int:
        """OpenFlow datapath id of the site's switch."""
        return DATAPATH_MARK | self._site_index[site]

    def bridge(self, site: str) -> str:
        """The name of the site's switch: ``qs-`` and the site, or its number where the kernel has no room for that."""
        return self._ports[site][0].interface.rpartition("-")[0]

    def ports(self, site: str) -> tuple[Port, ...]:
        """The switch's ports: the host on 1, then the site's channels in the topology's order."""
        return self._ports[site]

    def made_ports(self, site: str) -> tuple[Port, ...]:
        """Those whose interfaces are made for it, and go with it."""
        return tuple(port for port in self.ports(site) if port.interface != self.site(site).attach)

    def port_of(self, site: str, channel_id: str) -> Port:
        """The port of ``site`` on which ``channel_id`` ends."""
        try:
            return self._port_index[site, channel_id]
        except KeyError:
            raise KeyError(f"channel {channel_id} does not touch {site}") from None

    @cached_property
    def _ports(self) -> dict[str, tuple[Port, ...]]:
        """No name of a site begins with a digit: names made of its number are nobody else's."""
        ports: dict[str, tuple[Port, ...]] = {}
        for site, channels in self._channels_by_site.items():
            fits = len(f"qs-{site}-{len(channels) + 1}") <= INTERFACE_NAME_LENGTH
            switch = f"qs-{site if fits else self._site_index[site]}"
            host = Port(site, 1, f"{switch}-1", None)
            attach = self.site(site).attach
            ports[site] = (
                host,
                *(
                    Port(site, n, attach if c.attached else f"{switch}-{n}", c.id)
                    for n, c in enumerate(channels, start=2)
                ),
            )
        return ports

    @cached_property
    def _port_index(self) -> dict[tuple[str, str], Port]:
        return {(p.site, p.channel): p for each in self._ports.values() for p in each if p.channel is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :func:`topology_from_dict` is its inverse."""
        return {
            "name": self.name,
            "description": self.description,
            "shaped": self.shaped,
            **({} if self.allocation is Allocation.SHARED else {"allocation": self.allocation.value}),
            **({} if self.mbps_per_gbps == 1 else {"mbps_per_gbps": self.mbps_per_gbps}),
            "sites": [
                {
                    "name": s.name, "tier": s.tier.value, "vcpus": s.vcpus, "memory_gb": s.memory_gb,
                    "x": s.x, "y": s.y, **({"label": s.label} if s.label else {}),
                    **({"kme": s.kme.to_dict()} if s.kme is not None else {}),
                    **({"attach": s.attach} if s.attach else {}),
                    **({"optical_switch": True} if s.optical_switch else {}),
                }
                for s in self.sites
            ],
            "wavelengths": [
                {
                    "id": w.id, "security": w.security.label, "capacity_gbps": w.capacity_gbps,
                    "client_ports": w.client_ports, "client_gbps": w.client_gbps, "encryptor": w.encryptor,
                    **({"ends": list(w.ends)} if w.ends else {}),
                }
                for w in self.wavelengths
            ],
            "channels": [
                {
                    "id": c.id, "a": c.a, "b": c.b, "wavelength": c.wavelength, "security": c.security.label,
                    "capacity_mbps": c.capacity_mbps, "length_km": c.length_km, "risk_groups": sorted(c.risk_groups),
                    "dark": c.dark, **({"attached": True} if c.attached else {}),
                }
                for c in self.channels
            ],
            "sections": [
                {name: getattr(s, name) for name in QkdSection.__dataclass_fields__}
                | {"risk_groups": sorted(s.risk_groups)}
                for s in self.sections
            ],
            "qkd_links": [{"id": q.id, "a": q.a, "b": q.b, "sections": list(q.sections)} for q in self.qkd_links],
        }  # fmt: skip


def topology_from_dict(raw: dict[str, Any]) -> Topology:
    """The topology that :meth:`Topology.to_dict` wrote; TopologyError when a field is missing or unknown."""
    try:
        return Topology(
            name=raw["name"],
            description=raw.get("description", ""),
            shaped=raw.get("shaped", True),
            allocation=_allocation(raw),
            mbps_per_gbps=raw.get("mbps_per_gbps", 1.0),
            sites=tuple(Site(**{**s, "tier": _tier(s), "kme": vendor_from_dict(s.get("kme"))}) for s in raw["sites"]),
            wavelengths=tuple(
                Wavelength(**{**w, "security": _security("wavelength", w), "ends": _ends(w)})
                for w in raw["wavelengths"]
            ),
            channels=tuple(
                Channel(**{**c, "security": _security("channel", c), "risk_groups": frozenset(c["risk_groups"])})
                for c in raw["channels"]
            ),
            sections=tuple(
                QkdSection(**{**s, "risk_groups": frozenset(s.get("risk_groups", ()))}) for s in raw.get("sections", ())
            ),
            qkd_links=tuple(QkdLink(**{**q, "sections": tuple(q["sections"])}) for q in raw.get("qkd_links", ())),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise TopologyError(f"not a topology: {error}") from error


def _allocation(raw: dict[str, Any]) -> Allocation:
    value = raw.get("allocation", Allocation.SHARED.value)
    try:
        return Allocation(value)
    except ValueError:
        raise TopologyError(f"unknown allocation {value!r}: one of shared, circuit") from None


def _ends(wavelength: dict[str, Any]) -> tuple[str, str] | None:
    given = wavelength.get("ends")
    if given is None:
        return None
    if len(given) != 2:
        raise TopologyError(f"wavelength {wavelength.get('id')}: ends are two sites, not {len(given)}")
    return given[0], given[1]


def _tier(site: dict[str, Any]) -> Tier:
    try:
        return Tier(site["tier"])
    except ValueError:
        tiers = ", ".join(tier.value for tier in Tier)
        raise TopologyError(f"site {site.get('name')}: unknown tier {site['tier']!r}: one of {tiers}") from None


def _security(kind: str, element: dict[str, Any]) -> SecurityClass:
    try:
        return SecurityClass.parse(element["security"])
    except ValueError as error:
        raise TopologyError(f"{kind} {element.get('id')}: {error}") from None


def _require_unique(kind: str, ids: Iterable[str]) -> None:
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice:
        raise TopologyError(f"{kind} {twice[0]!r} is named twice")
