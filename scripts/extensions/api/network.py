"""The network as an extension sees it at one moment: what there is, what is up, what is left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

LEVELS = ("none", "dh", "qra", "qkd")
"""Security levels, the weakest first."""


@dataclass(frozen=True)
class SiteView:
    """A site. New paths may not cross one that is not ``is_open``, as its switch is away."""

    name: str
    tier: str
    vcpus: int
    memory_gb: int
    free_vcpus: int
    free_memory_gb: int
    is_up: bool
    is_open: bool


@dataclass(frozen=True)
class ChannelView:
    """A circuit between two sites. ``free_kbps`` is what is left from a to b, and from b to a.

    ``is_up``: it works, and so do both its sites; a dark one is not up. ``latency_us`` is one way,
    the switch at one of its ends with it.
    """

    id: str
    a: str
    b: str
    wavelength: str
    security: str
    capacity_mbps: float
    capacity_kbps: int
    free_kbps: tuple[int, int]
    length_km: float
    latency_us: int
    risk_groups: tuple[str, ...]  # whose failure takes it down, its wavelength among them
    is_up: bool
    is_dark: bool

    @property
    def level(self) -> int:
        """The place of its class in :data:`LEVELS`."""
        return LEVELS.index(self.security)

    def other(self, site: str) -> str:
        """The far end as seen from ``site``."""
        return self.b if site == self.a else self.a

    def free_from(self, site: str) -> int:
        """What is left in the direction away from ``site``, kbit/s."""
        return self.free_kbps[0 if site == self.a else 1]


@dataclass(frozen=True)
class WavelengthView:
    """What all the channels of one wavelength share: ``free_kbps`` is left along them (from a to b) and against them.

    Where the network's ``allocation`` is circuit each hop of a path takes one client port of it as well, of which
    ``free_ports`` are left, and no connection over it may reserve more than ``client_kbps``.
    """

    id: str
    capacity_kbps: int
    free_kbps: tuple[int, int]
    client_ports: int
    free_ports: int
    client_kbps: int


@dataclass(frozen=True)
class SectionView:
    """A QKD section between two nodes. Of one that is not ``is_known`` nobody has told the rate."""

    id: str
    a: str
    b: str
    free_millibps: int
    is_usable: bool
    is_known: bool


@dataclass(frozen=True)
class QkdLinkView:
    """What relays keys between two sites, over sections in this order."""

    id: str
    a: str
    b: str
    sections: tuple[str, ...]


@dataclass(frozen=True)
class NetworkView:
    """The network at one moment: what there is, what is up, what is left."""

    name: str
    sites: tuple[SiteView, ...]
    channels: tuple[ChannelView, ...]
    sections: tuple[SectionView, ...]
    qkd_links: tuple[QkdLinkView, ...]
    wavelengths: tuple[WavelengthView, ...] = ()
    allocation: str = "shared"  # or circuit
    cost_profile: str = "premium-last"  # or use-free-premium: levels above what is asked for cost nothing then
    switch_us: int = 0  # one switch, one way: of a channel's ``latency_us`` what is neither fibre nor card

    @cached_property
    def by_id(self) -> dict[str, ChannelView]:
        """The channels by id."""
        return {channel.id: channel for channel in self.channels}

    @cached_property
    def usable_at(self) -> dict[str, tuple[ChannelView, ...]]:
        """Per site the channels there that new paths may take."""
        is_open = {site.name for site in self.sites if site.is_up and site.is_open}
        found: dict[str, list[ChannelView]] = {site.name: [] for site in self.sites}
        for channel in self.channels:
            if channel.is_up and not channel.is_dark and channel.a in is_open and channel.b in is_open:
                found[channel.a].append(channel)
                found[channel.b].append(channel)
        return {site: tuple(channels) for site, channels in found.items()}
