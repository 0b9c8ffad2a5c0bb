"""Wavelengths, and the channels on them: the edges of the multigraph. Lengths in km, delays in us."""

from __future__ import annotations

from dataclasses import dataclass

from topologies.spec.errors import TopologyError
from topologies.spec.numbers import require_numbers, require_whole_numbers
from topologies.spec.security import SecurityClass

FIBRE_DELAY_US_PER_KM = 4.9  # group index 1.468
ROUNDING = 1e-9  # of products of rates that people write in decimals
ENCRYPTION_CARD_DELAY_US = 15.0  # paper 001, section 2: 4 us in the card, 11 us in the CFP module


@dataclass(frozen=True)
class Wavelength:
    """A DWDM channel between two cards (paper 001: 5 x 100G, ten client ports of 10G each).

    All circuits on a wavelength share its fate: it is their shared-risk group. They share its capacity too, in each
    direction. ``client_gbps`` is what one client port carries, Gbit/s of the real network like ``capacity_gbps``: None
    stands for an even share of the capacity. ``encryptor`` tells whether its cards encrypt: None stands for yes where
    it has a class. Both are settled once it is made. ``ends`` are the sites where its cards stand; see
    :meth:`~topologies.spec.topology.Topology.cards_of`.
    """

    id: str
    security: SecurityClass
    capacity_gbps: float = 100.0
    client_ports: int = 10
    client_gbps: float = None  # type: ignore[assignment]
    encryptor: bool = None  # type: ignore[assignment]
    ends: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        require_numbers(f"wavelength {self.id}", self, "capacity_gbps")
        require_whole_numbers(f"wavelength {self.id}", self, "client_ports")
        if self.capacity_gbps <= 0 or self.client_ports < 1:
            raise TopologyError(f"wavelength {self.id}: capacity_gbps and client_ports must be positive")
        self._settle("client_gbps", self.capacity_gbps / self.client_ports)
        self._settle("encryptor", self.security is not SecurityClass.NONE)
        require_numbers(f"wavelength {self.id}", self, "client_gbps")
        self._check_contradictions()

    def _settle(self, name: str, default: float | bool) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, default)

    def _check_contradictions(self) -> None:
        if self.client_gbps <= 0:
            raise TopologyError(f"wavelength {self.id}: client_gbps must be positive, not {self.client_gbps:g}")
        if self.client_ports * self.client_gbps > self.capacity_gbps * (1 + ROUNDING):
            raise TopologyError(
                f"wavelength {self.id}: {self.client_ports} client ports of {self.client_gbps:g} Gbit/s are more than "
                f"its capacity_gbps {self.capacity_gbps:g}"
            )
        if not isinstance(self.encryptor, bool):
            raise TopologyError(f"wavelength {self.id}: encryptor must be true or false, not {self.encryptor!r}")
        if self.encryptor and self.security is SecurityClass.NONE:
            raise TopologyError(f"wavelength {self.id}: an encryptor needs a class that brings keys, and it has none")
        if self.ends is not None and self.ends[0] == self.ends[1]:
            raise TopologyError(f"wavelength {self.id}: both of its cards stand at {self.ends[0]}")


@dataclass(frozen=True)
class Channel:
    """One client circuit between two sites on a wavelength: a single edge of the multigraph.

    ``risk_groups`` names everything whose failure takes the circuit down, its wavelength among them. A ``dark`` one is
    administratively down until the network would be partitioned without it (paper 000, "self-healing").
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
    attached: bool = False  # between the interfaces attached at its ends: what is in between is somebody else's

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise TopologyError(f"channel {self.id}: both ends are {self.a}")
        if self.dark and self.attached:
            raise TopologyError(f"channel {self.id}: a dark channel cannot be attached")
        require_numbers(f"channel {self.id}", self, "capacity_mbps", "length_km")
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
