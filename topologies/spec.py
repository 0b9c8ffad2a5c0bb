"""What a network is, as plain values: sites, channels, wavelengths, QKD sections and links, hosts.

A topology is described here and instantiated elsewhere (``net.py``). Everything is frozen and validated when it
is made, so that whoever holds a :class:`Topology` holds a consistent one. Lengths are kilometres, rates Mbit/s,
delays microseconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

# Bridge and port names are built from site names and must fit the kernel's 15 characters: "qs-metro1-10".
SITE_NAME = re.compile(r"[a-z][a-z0-9]{0,8}")
FIBRE_DELAY_US_PER_KM = 4.9  # group index 1.468
ENCRYPTION_CARD_DELAY_US = 15.0  # paper 001, section 2: 4 us in the card, 11 us in the CFP module


class TopologyError(ValueError):
    """A topology that cannot exist; the message names the element and what is wrong with it."""


class SecurityClass(IntEnum):
    """Key-exchange class of a channel, in the order of strength of papers 001 and 002."""

    NONE = 0
    DH = 1
    QRA = 2
    QKD = 3

    @property
    def label(self) -> str:
        """The lower-case name used in requests and reports."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> SecurityClass:
        """The class called ``text``; ValueError names the choices."""
        try:
            return cls[text.upper()]
        except KeyError:
            choices = ", ".join(c.label for c in cls)
            raise ValueError(f"unknown security class {text!r}: one of {choices}") from None


class Tier(Enum):
    """Place of a site in the transport hierarchy of paper 002, Fig. 2."""

    CELL = "cell"
    AGGREGATION = "aggregation"
    METRO = "metro"
    CORE = "core"


@dataclass(frozen=True)
class Site:
    """One location: an Open vSwitch bridge, a host of the same name and a KME."""

    name: str
    tier: Tier
    vcpus: int = 0
    memory_gb: int = 0
    x: float = 0.0  # place on the drawing, in units of the drawing's width and height (0..1)
    y: float = 0.0

    def __post_init__(self) -> None:
        if not SITE_NAME.fullmatch(self.name):
            raise TopologyError(f"site {self.name!r}: a name is a letter, then up to 8 letters or digits, lower case")
        if self.vcpus < 0 or self.memory_gb < 0:
            raise TopologyError(f"site {self.name}: vcpus and memory_gb must not be negative")


@dataclass(frozen=True)
class Wavelength:
    """A DWDM channel with its encryption card (paper 001: 5 x 100G, ten client ports each).

    All circuits on a wavelength share its fate: it is their shared-risk group.
    """

    id: str
    security: SecurityClass
    capacity_gbps: float = 100.0
    client_ports: int = 10

    def __post_init__(self) -> None:
        if self.capacity_gbps <= 0 or self.client_ports < 1:
            raise TopologyError(f"wavelength {self.id}: capacity_gbps and client_ports must be positive")


@dataclass(frozen=True)
class Channel:
    """One client circuit between two sites on a wavelength: a single edge of the multigraph.

    ``risk_groups`` names everything whose failure takes the circuit down, its wavelength among them. A ``dark`` one is
    a spare: its ports are held down until the network falls apart without it (paper 000, "self-healing").
    """

    id: str
    a: str
    b: str
    wavelength: str
    security: SecurityClass
    capacity_mbps: float
    length_km: float
    risk_groups: frozenset[str] = frozenset()
    dark: bool = False

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise TopologyError(f"channel {self.id}: both ends are {self.a}")
        if not self.capacity_mbps > 0:
            raise TopologyError(f"channel {self.id}: capacity_mbps must be positive, not {self.capacity_mbps}")
        if not self.length_km >= 0:
            raise TopologyError(f"channel {self.id}: length_km must not be negative, not {self.length_km}")

    @property
    def delay_us(self) -> float:
        """One-way delay: the fibre and the transponder's encryption card."""
        return self.length_km * FIBRE_DELAY_US_PER_KM + ENCRYPTION_CARD_DELAY_US

    @property
    def ends(self) -> tuple[str, str]:
        return self.a, self.b

    def other(self, site: str) -> str:
        """The far end as seen from ``site``."""
        if site not in self.ends:
            raise KeyError(f"channel {self.id} does not touch {site}")
        return self.b if site == self.a else self.a


QKD_MODELS = (("bb84", "full"), ("bb84", "rate"), ("cow", "rate"))


@dataclass(frozen=True)
class QkdSection:
    """One quantum channel between two QKD nodes (sites' QKD rooms or trusted nodes).

    ``afterpulse_probability`` is that of a false detection after a detection and its dead time; ``model`` whether the
    key service simulates every step ("full") or follows the analytic rate ("rate"); ``protocol`` "bb84" or "cow".
    """

    id: str
    a: str
    b: str
    length_km: float
    attenuation_db_per_km: float = 0.2
    pulse_rate_hz: float = 10_000_000.0
    detector_efficiency: float = 0.2
    dark_count_probability: float = 1e-6  # per gate, both detectors together
    misalignment: float = 0.015
    afterpulse_probability: float = 0.005
    dead_time_us: float = 1.0
    error_correction_efficiency: float = 1.16  # f: disclosed bits over Shannon's limit, for forecasts
    abort_qber: float = 0.11
    protocol: str = "bb84"
    model: str = "full"

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise TopologyError(f"section {self.id}: both ends are {self.a}")
        for name in ("length_km", "attenuation_db_per_km", "dead_time_us"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise TopologyError(f"section {self.id}: {name} must not be negative")
        for name in ("dark_count_probability", "misalignment", "afterpulse_probability"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise TopologyError(f"section {self.id}: {name} must lie in [0, 0.5]")
        if not 0 < self.detector_efficiency <= 1:
            raise TopologyError(f"section {self.id}: detector_efficiency must be in (0, 1]")
        if not 0 < self.pulse_rate_hz <= 1e12:
            raise TopologyError(f"section {self.id}: pulse_rate_hz must be positive and at most 1e12")
        if not 1 <= self.error_correction_efficiency <= 2:
            raise TopologyError(f"section {self.id}: error_correction_efficiency must lie in [1, 2]")
        if not 0 < self.abort_qber <= 0.11:
            raise TopologyError(f"section {self.id}: abort_qber must lie in (0, 0.11]")
        if (self.protocol, self.model) not in QKD_MODELS:
            raise TopologyError(
                f"section {self.id}: protocol and model must be bb84 with full or rate, or cow with rate, "
                f"not {self.protocol} with {self.model}"
            )


@dataclass(frozen=True)
class QkdLink:
    """Key transport between two sites over sections in a row; the nodes between them are trusted."""

    id: str
    a: str
    b: str
    sections: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.sections:
            raise TopologyError(f"QKD link {self.id}: it needs at least one section")


@dataclass(frozen=True)
class HostSpec:
    """The host at a site: its addresses on the data and the management network."""

    site: str
    index: int  # 1-based, in the order of the topology's sites

    @property
    def data_address(self) -> str:
        return f"172.20.{self.index // 250}.{self.index % 250 + 1}"

    @property
    def data_mac(self) -> str:
        return f"02:51:53:00:{self.index >> 8:02x}:{self.index & 255:02x}"

    @property
    def management_address(self) -> str:
        return f"10.254.{self.index}.2"

    @property
    def kme_address(self) -> str:
        return f"10.254.{self.index}.1"


DATA_PREFIX_LENGTH = 16  # 172.20.0.0/16
MANAGEMENT_PREFIX_LENGTH = 30
KME_PORT = 8443
ROOT_MANAGEMENT_INDEX = 255  # 10.254.255.0/30 joins the KMS to the machine itself


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
        for wavelength_id, used in Counter(c.wavelength for c in self.channels).items():
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

    @property
    def site_names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.sites)

    def site(self, name: str) -> Site:
        return self.sites[self._site_index[name] - 1]

    def has_site(self, name: str) -> bool:
        return name in self._site_index

    def channel(self, channel_id: str) -> Channel:
        return self._channel_index[channel_id]

    def has_channel(self, channel_id: str) -> bool:
        return channel_id in self._channel_index

    def channels_of(self, site: str) -> tuple[Channel, ...]:
        return tuple(c for c in self.channels if site in c.ends)

    def host(self, site: str) -> HostSpec:
        """The site's host. TopologyError beyond the 254 sites that the emulation's address plan has room for."""
        index = self._site_index[site]
        if index >= ROOT_MANAGEMENT_INDEX:
            raise TopologyError(f"site {site} is number {index}: at most {ROOT_MANAGEMENT_INDEX - 1} can be emulated")
        return HostSpec(site, index)

    def dpid(self, site: str) -> int:
        """OpenFlow datapath id of the site's switch; the high byte marks it as ours."""
        return 0x5100_0000_0000 | self._site_index[site]

    def bridge(self, site: str) -> str:
        return f"qs-{site}"

    def ports(self, site: str) -> tuple[Port, ...]:
        """The switch's ports: the host on 1, then the site's channels in the topology's order."""
        host = Port(site, 1, f"qs-{site}-1", None)
        return (
            host,
            *(Port(site, n, f"qs-{site}-{n}", c.id) for n, c in enumerate(self.channels_of(site), start=2)),
        )

    def port_of(self, site: str, channel_id: str) -> Port:
        """The port of ``site`` on which ``channel_id`` ends."""
        for port in self.ports(site):
            if port.channel == channel_id:
                return port
        raise KeyError(f"channel {channel_id} does not touch {site}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :func:`topology_from_dict` is its inverse."""
        return {
            "name": self.name,
            "description": self.description,
            "shaped": self.shaped,
            "sites": [
                {"name": s.name, "tier": s.tier.value, "vcpus": s.vcpus, "memory_gb": s.memory_gb, "x": s.x, "y": s.y}
                for s in self.sites
            ],
            "wavelengths": [
                {
                    "id": w.id, "security": w.security.label,
                    "capacity_gbps": w.capacity_gbps, "client_ports": w.client_ports,
                }
                for w in self.wavelengths
            ],
            "channels": [
                {
                    "id": c.id, "a": c.a, "b": c.b, "wavelength": c.wavelength, "security": c.security.label,
                    "capacity_mbps": c.capacity_mbps, "length_km": c.length_km, "risk_groups": sorted(c.risk_groups),
                    "dark": c.dark,
                }
                for c in self.channels
            ],
            "sections": [{name: getattr(s, name) for name in QkdSection.__dataclass_fields__} for s in self.sections],
            "qkd_links": [{"id": q.id, "a": q.a, "b": q.b, "sections": list(q.sections)} for q in self.qkd_links],
        }  # fmt: skip


def topology_from_dict(raw: dict[str, Any]) -> Topology:
    """The topology that :meth:`Topology.to_dict` wrote; TopologyError when a field is missing or unknown."""
    try:
        return Topology(
            name=raw["name"],
            description=raw.get("description", ""),
            shaped=raw.get("shaped", True),
            sites=tuple(Site(**{**s, "tier": Tier(s["tier"])}) for s in raw["sites"]),
            wavelengths=tuple(
                Wavelength(**{**w, "security": SecurityClass.parse(w["security"])}) for w in raw["wavelengths"]
            ),
            channels=tuple(
                Channel(
                    **{**c, "security": SecurityClass.parse(c["security"]), "risk_groups": frozenset(c["risk_groups"])}
                )
                for c in raw["channels"]
            ),
            sections=tuple(QkdSection(**s) for s in raw.get("sections", ())),
            qkd_links=tuple(QkdLink(**{**q, "sections": tuple(q["sections"])}) for q in raw.get("qkd_links", ())),
        )
    except (KeyError, TypeError) as error:
        raise TopologyError(f"not a topology: {error}") from error


def _require_unique(kind: str, ids: Iterable[str]) -> None:
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice:
        raise TopologyError(f"{kind} {twice[0]!r} is named twice")
