"""Rules, meters and groups that a switch shall hold, as values in the terms of OpenFlow 1.3.5, without its library."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

COOKIE_MARK = 0x5153  # "QS": the high 16 bits of every cookie of ours
SHARED_COOKIE = COOKIE_MARK << 48  # rules that serve several connections
CONTROLLER_PORT = 0xFFFF_FFFD  # OFPP_CONTROLLER
HOST_PORT = 1  # Topology.ports
IN_PORT = 0xFFFF_FFF8  # OpenFlow 1.3.5, A.2.1: OFPP_IN_PORT
ETH_IPV4, ETH_ARP, ETH_VLAN = 0x0800, 0x0806, 0x8100
UDP = 17
ARP_REQUEST, ARP_REPLY = 1, 2
VLAN_PRESENT = 0x1000  # OFPVID_PRESENT
UNTAGGED = 0  # OFPVID_NONE: a host does not get to bring a tag of its own
MISS_PRIORITY, TRANSIT_PRIORITY, INGRESS_PRIORITY, ARP_PRIORITY = 0, 100, 200, 300


@dataclass(frozen=True)
class Output:
    port: int


@dataclass(frozen=True)
class PushVlan:
    ethertype: int = ETH_VLAN


@dataclass(frozen=True)
class PopVlan:
    pass


@dataclass(frozen=True)
class SetField:
    field: str
    value: int | str


@dataclass(frozen=True)
class Move:
    """Copy one header field to another (Nicira's NXAST_REG_MOVE)."""

    source: str
    target: str
    bits: int


@dataclass(frozen=True)
class ToGroup:
    group: int


Action: TypeAlias = Output | PushVlan | PopVlan | SetField | Move | ToGroup
Match: TypeAlias = tuple[tuple[str, int | str], ...]  # sorted by field name


@dataclass(frozen=True)
class Rule:
    """One flow entry of table 0. Two rules with one key cannot stand side by side on a switch."""

    site: str
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int
    meter: int | None = None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A rule is looked up a dozen times on its way to the switch; its parts would be hashed anew each time.
        content = (self.site, self.priority, self.match, self.actions, self.cookie, self.meter)
        object.__setattr__(self, "_hash", hash(content))

    def __hash__(self) -> int:
        return self._hash

    @property
    def key(self) -> tuple[str, int, Match]:
        return "rule", self.priority, self.match


@dataclass(frozen=True)
class Meter:
    """A policer: drops what exceeds ``rate_kbps``; headers count (Open vSwitch meters whole frames)."""

    site: str
    id: int
    rate_kbps: int
    burst_kbits: int

    @property
    def key(self) -> tuple[str, int, Match]:
        return "meter", self.id, ()


class GroupType(Enum):
    """What a group does with its buckets (OpenFlow 1.3.5, 5.6.1)."""

    ALL = "all"  # a copy of the packet through each
    FAST_FAILOVER = "ff"  # the first whose port is live


@dataclass(frozen=True)
class Bucket:
    """Actions, and for fast failover the port whose liveness they depend on."""

    actions: tuple[Action, ...]
    watch_port: int | None = None


@dataclass(frozen=True)
class Group:
    """Several ways to treat a packet; changed in one step, and gone after the rules that point to it."""

    site: str
    id: int
    type: GroupType
    buckets: tuple[Bucket, ...]

    @property
    def key(self) -> tuple[str, int, Match]:
        return "group", self.id, ()


Item: TypeAlias = Rule | Meter | Group
