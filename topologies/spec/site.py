"""Sites, and the addresses of the host and the KME at each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from topologies.spec.errors import TopologyError
from topologies.spec.numbers import require_numbers, require_whole_numbers
from topologies.spec.vendor import VendorKme

# Channels' and sections' ids are made of two of them, and end at 64 characters; Mininet's shell knows no dash.
SITE_NAME_LENGTH = 24
SITE_NAME = re.compile(rf"[a-z][a-z0-9]{{0,{SITE_NAME_LENGTH - 1}}}")
INTERFACE_NAME_LENGTH = 15  # the kernel's IFNAMSIZ, less its terminator
OWN_PREFIX = "qs-"  # of interfaces that a network makes
INTERFACE_NAME = re.compile(rf"(?!{OWN_PREFIX}|lo$)[A-Za-z0-9][A-Za-z0-9_.@-]{{0,{INTERFACE_NAME_LENGTH - 1}}}")
RESERVED_NAMES = {
    "kms": "the host of the key management",
    "mgmt": "the machine's own interface to the management network",
    "c0": "the controller, as Mininet knows it,",
    "auto": "the choice that a request leaves to the controller",
}
"""What is not a site, under names that a site's bridge or host, or a site in a request, would have."""
DATA_PREFIX_LENGTH = 16  # 172.20.0.0/16
MANAGEMENT_PREFIX_LENGTH = 30
KME_PORT = 8443
ROOT_MANAGEMENT_INDEX = 255  # 10.254.255.0/30 joins the KMS to the machine itself


def interface_rule(name: str) -> str:
    """What is wrong with a name for an interface to attach."""
    return (
        f"{name[:40]!r} is no interface to attach: a letter or digit, then up to {INTERFACE_NAME_LENGTH - 1} letters, "
        f"digits or _ . @ -; neither lo nor one of ours ({OWN_PREFIX}...)"
    )


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
    label: str = ""  # what people call it, in any script
    kme: VendorKme | None = None  # a vendor's, beside ours
    attach: str = ""  # an interface of the machine that is a port of the switch; its channel is ``attached``
    optical_switch: bool = False  # joins client ports one to one: a cross-connect carries one connection

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not SITE_NAME.fullmatch(self.name):
            raise TopologyError(f"site {self.name!r}: a name is a letter from a to z, then up to "
                                f"{SITE_NAME_LENGTH - 1} letters or digits, lower case")  # fmt: skip
        if self.name in RESERVED_NAMES:
            raise TopologyError(f"site {self.name}: {RESERVED_NAMES[self.name]} has that name; choose another")
        if self.attach and not INTERFACE_NAME.fullmatch(self.attach):
            raise TopologyError(f"site {self.name}: attach: {interface_rule(self.attach)}")
        require_whole_numbers(f"site {self.name}", self, "vcpus", "memory_gb")
        require_numbers(f"site {self.name}", self, "x", "y")
        if self.vcpus < 0 or self.memory_gb < 0:
            raise TopologyError(f"site {self.name}: vcpus and memory_gb must not be negative")


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
