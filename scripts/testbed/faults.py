"""Faults as values: what can be broken, what undoes it, and what a set of overlapping faults does to the network.

Pure. Faults overlap, so the state of an interface is never the last command's but follows from all faults that are
active: a channel that was cut stays cut when the site at its end comes back. An adapter
(:mod:`scripts.testbed.fault_injector`) carries out the difference between two such states.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from kms.sources.qkd.modes import AttackKind
from scripts.errors import WrongRequest
from topologies import links
from topologies.links import Direction, Impairment
from topologies.spec import Channel, Topology

HEALTHY = Impairment()
KMS, CONTROLLER, TUNNEL_PREFIX, KME_PREFIX, SHELF_PREFIX = "kms", "controller", "tunnel-", "kme-", "shelf-"
LAYER, DEVICE_PREFIX = "controller-layer", "device-"


class Element(Enum):
    """What a fault is done to; the value names it in messages."""

    CHANNEL = "channel"
    SITE = "site"
    SECTION = "QKD section"
    RISK = "risk group"
    WAVELENGTH = "wavelength"
    PROCESS = "process"


class FaultKind(Enum):
    """The value is the command that does it."""

    CUT = "link down"
    BLACKHOLE = "link blackhole"
    IMPAIR = "link impair"
    POWER_OFF = "node down"
    EAVESDROP = "eavesdrop start"
    CUT_SECTION = "section cut"
    CUT_RISK = "risk down"
    CUT_WAVELENGTH = "wavelength down"
    KILL = "kill"


@dataclass(frozen=True)
class Description:
    """``inverse`` is the command that lifts it, ``state`` what the element then is in words."""

    element: Element
    inverse: str
    state: str
    is_directed: bool = False


# The one table of what can be broken. Commands, scenarios and lifting all read it.
FAULTS: Mapping[FaultKind, Description] = {
    FaultKind.CUT: Description(Element.CHANNEL, "link up", "cut", is_directed=True),
    FaultKind.BLACKHOLE: Description(Element.CHANNEL, "link up", "a black hole", is_directed=True),
    FaultKind.IMPAIR: Description(Element.CHANNEL, "link up", "impaired", is_directed=True),
    FaultKind.POWER_OFF: Description(Element.SITE, "node up", "off"),
    FaultKind.EAVESDROP: Description(Element.SECTION, "eavesdrop stop", "being listened to"),
    FaultKind.CUT_SECTION: Description(Element.SECTION, "section mend", "cut"),
    FaultKind.CUT_RISK: Description(Element.RISK, "risk up", "cut"),
    FaultKind.CUT_WAVELENGTH: Description(Element.WAVELENGTH, "wavelength up", "cut"),
    FaultKind.KILL: Description(Element.PROCESS, "restart", "killed"),
}
INVERSES = tuple(dict.fromkeys(d.inverse for d in FAULTS.values()))


def undone_by(inverse: str) -> frozenset[FaultKind]:
    """The kinds of fault that a lifting command lifts."""
    return frozenset(kind for kind, d in FAULTS.items() if d.inverse == inverse)


def element_of(command: str) -> Element:
    """What a command, breaking or lifting, is about."""
    kinds = undone_by(command) or {FaultKind(command)}
    return FAULTS[next(iter(kinds))].element


def words(impairment: Impairment) -> str:
    """``5 % loss, 20 ms delay, 2 ms jitter``."""
    parts = ((impairment.loss_pct, "%", "loss"), (impairment.delay_ms, "ms", "delay"),
             (impairment.jitter_ms, "ms", "jitter"))  # fmt: skip
    return ", ".join(f"{amount:g} {unit} {what}" for amount, unit, what in parts if amount) or "nothing"


@dataclass(frozen=True)
class Fault:
    """One fault. ``direction`` None is both; an eavesdropper attacks ``fraction`` of the pulses, by ``attack``."""

    kind: FaultKind
    target: str
    direction: Direction | None = None
    fraction: float = 1.0
    attack: AttackKind = AttackKind.INTERCEPT_RESEND
    impairment: Impairment = HEALTHY

    def __post_init__(self) -> None:
        if (self.kind is FaultKind.IMPAIR) == (self.impairment == HEALTHY):
            raise WrongRequest("impairment: `link impair` takes at least one of loss, delay and jitter, and alone does")
        if self.direction is not None and not FAULTS[self.kind].is_directed:
            raise WrongRequest(f"direction: {self.kind.value!r} has none")
        if not 0 < self.fraction <= 1:
            raise WrongRequest(f"fraction: {self.fraction} is not in (0, 1]")

    def __str__(self) -> str:
        way = f" {self.direction.value}" if self.direction else ""
        share = f" {self.fraction:.0%}" if self.kind is FaultKind.EAVESDROP and self.fraction < 1 else ""
        means = f" by {self.attack.value}" if self.attack is not AttackKind.INTERCEPT_RESEND else ""
        how = f" by {words(self.impairment)}" if self.kind is FaultKind.IMPAIR else ""
        return f"{self.kind.value} {self.target}{way}{share}{means}{how}"

    def is_same_place(self, other: Fault) -> bool:
        return (self.kind, self.target, self.direction) == (other.kind, other.target, other.direction)

    def to_dict(self) -> dict[str, Any]:
        direction = self.direction.value if self.direction else None
        return {
            "fault": self.kind.value, "target": self.target, "direction": direction, "fraction": self.fraction,
            "attack": self.attack.value, **(asdict(self.impairment) if self.kind is FaultKind.IMPAIR else {}),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Fault:
        direction = Direction(raw["direction"]) if raw["direction"] else None
        kind = FaultKind(raw["fault"])
        how = HEALTHY
        if kind is FaultKind.IMPAIR:
            how = Impairment(raw["loss_pct"], raw["delay_ms"], raw["jitter_ms"])
        return cls(kind, raw["target"], direction, raw["fraction"], AttackKind(raw["attack"]), how)


def targets(topology: Topology, element: Element) -> tuple[str, ...]:
    """Everything of that sort that there is."""
    if element is Element.CHANNEL:
        return tuple(c.id for c in topology.channels)
    if element is Element.SITE:
        return topology.site_names
    if element is Element.SECTION:
        return tuple(s.id for s in topology.sections)
    if element is Element.RISK:
        return topology.risk_groups()
    if element is Element.WAVELENGTH:
        return tuple(w.id for w in topology.wavelengths)
    sites = topology.site_names
    with_cards = (site for w in topology.wavelengths if w.encryptor for site in topology.cards_of(w.id) or ())
    shelves = dict.fromkeys(f"{SHELF_PREFIX}{site}" for site in with_cards)
    return (KMS, CONTROLLER, *(f"{TUNNEL_PREFIX}{s}" for s in sites), *(f"{KME_PREFIX}{s}" for s in sites), *shelves)


def require_target(topology: Topology, element: Element, target: str, processes: Iterable[str] = ()) -> None:
    """WrongRequest when there is no such element. ``processes`` are those that not every run has."""
    known = targets(topology, element)
    if element is Element.PROCESS:
        known = (*known, *(name for name in processes if name == LAYER or name.startswith(DEVICE_PREFIX)))
    if target not in known:
        field_name = {
            Element.SECTION: "SECTION",
            Element.PROCESS: "NAME",
            Element.RISK: "GROUP",
        }.get(element, "ID")
        hint = "see `scripts/qslice link list`" if element is Element.CHANNEL else f"there are {', '.join(known)}"
        raise WrongRequest(f"{field_name}: there is no {element.value} {target!r}; {hint}")


Faults = tuple[Fault, ...]


def with_fault(active: Faults, fault: Fault) -> tuple[Faults, Fault | None]:
    """The faults with one more; the second value is the one that was there already in its place."""
    same = next((f for f in active if f.is_same_place(fault)), None)
    return (*(f for f in active if f is not same), fault), same


def without(active: Faults, inverse: str, target: str, direction: Direction | None = None) -> tuple[Faults, Faults]:
    """What remains after lifting, and what was lifted. Without a direction the faults of both and of each go.

    Lifting one direction of a fault on both leaves the other direction faulty.
    """
    kinds = undone_by(inverse)
    remaining: list[Fault] = []
    lifted: list[Fault] = []
    for fault in active:
        if fault.kind not in kinds or fault.target != target:
            remaining.append(fault)
        elif direction is None or fault.direction is direction:
            lifted.append(fault)
        elif fault.direction is None:
            other = next(d for d in Direction if d is not direction)
            remaining.append(replace(fault, direction=other))
            lifted.append(replace(fault, direction=direction))
        else:
            remaining.append(fault)
    return tuple(remaining), tuple(lifted)


@dataclass(frozen=True)
class Effects:
    """What faults do: ports without carrier, ports that lose what they send or some of it (``impaired``), sites off,
    Eves, QKD sections that are ``unlit`` (no light, or a site off at an end), dead processes, wavelengths whose
    ``lines`` between two cards are cut.
    """

    dead: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    eavesdropped: Mapping[str, Fault] = field(default_factory=dict)
    unlit: frozenset[str] = frozenset()
    killed: frozenset[str] = frozenset()
    impaired: Mapping[str, Impairment] = field(default_factory=dict)
    lines: frozenset[str] = frozenset()


def effects(topology: Topology, active: Iterable[Fault], sealed: Collection[str] = ()) -> Effects:
    """The state of the network under all of ``active`` together; ``sealed`` wavelengths have lines of their own."""
    dead: set[str] = set()
    silent: set[str] = set()
    off: set[str] = set()
    killed: set[str] = set()
    eavesdropped: dict[str, Fault] = {}
    unlit: set[str] = set()
    impaired: dict[str, Impairment] = {}
    lines: set[str] = set()
    for fault in active:
        match fault.kind:
            case FaultKind.CUT | FaultKind.CUT_RISK | FaultKind.CUT_WAVELENGTH:
                for channel in _channels_cut(topology, fault):
                    if channel.wavelength in sealed and fault.kind is not FaultKind.CUT:
                        lines.add(channel.wavelength)  # which takes the carrier of all its circuits
                        continue
                    cut = links.sending(topology, channel, fault.direction)
                    dead.update(cut)
                    if channel.dark:
                        # The controller raises its ports when it activates it; that must not repair the fibre.
                        silent.update(cut)
                unlit.update(s.id for s in topology.sections if _takes(fault, s.risk_groups))
            case FaultKind.BLACKHOLE:
                silent.update(links.sending(topology, topology.channel(fault.target), fault.direction))
            case FaultKind.IMPAIR:
                sending = links.sending(topology, topology.channel(fault.target), fault.direction)
                impaired.update(dict.fromkeys(sending, fault.impairment))
            case FaultKind.POWER_OFF:
                off.add(fault.target)
                dead.update(port.interface for port in topology.ports(fault.target))
                unlit.update(s.id for s in topology.sections if fault.target in (s.a, s.b))
            case FaultKind.EAVESDROP:
                eavesdropped[fault.target] = fault
            case FaultKind.CUT_SECTION:
                unlit.add(fault.target)
            case FaultKind.KILL:
                killed.add(fault.target)
    if KMS in killed:  # no pulse is measured meanwhile: the attack and the cut are there again when the KMS is back
        eavesdropped, unlit = {}, set()
        killed = {name for name in killed if not name.startswith(KME_PREFIX)}  # these too stay away then
    return Effects(
        frozenset(dead), frozenset(silent), frozenset(off), eavesdropped, frozenset(unlit), frozenset(killed),
        impaired, frozenset(lines),
    )  # fmt: skip


def _channels_cut(topology: Topology, fault: Fault) -> tuple[Channel, ...]:
    if fault.kind is FaultKind.CUT:
        return (topology.channel(fault.target),)
    if fault.kind is FaultKind.CUT_WAVELENGTH:
        return tuple(c for c in topology.channels if c.wavelength == fault.target)
    return tuple(c for c in topology.channels if _takes(fault, c.risk_groups))


def _takes(fault: Fault, risk_groups: frozenset[str]) -> bool:
    return fault.kind is FaultKind.CUT_RISK and fault.target in risk_groups


def hidden_behind(topology: Topology, active: Iterable[Fault], fault: Fault) -> tuple[Fault, ...]:
    """The other faults that have already taken away what ``fault`` is done to: it is recorded and shows later."""
    others = [f for f in active if not f.is_same_place(fault)]
    element = FAULTS[fault.kind].element
    if element is Element.CHANNEL:
        ends = topology.channel(fault.target).ends
        return tuple(
            f
            for f in others
            if (f.kind is FaultKind.POWER_OFF and f.target in ends)
            or (f.kind is FaultKind.CUT and f.target == fault.target)
            or _takes(f, topology.channel(fault.target).risk_groups)
            or (f.kind is FaultKind.CUT_WAVELENGTH and f.target == topology.channel(fault.target).wavelength)
        )
    if element is Element.SECTION:
        section = next(s for s in topology.sections if s.id == fault.target)
        return tuple(
            f
            for f in others
            if _kills_kms(f)
            or _takes(f, section.risk_groups)
            or (f.kind is FaultKind.POWER_OFF and f.target in (section.a, section.b))
        )
    if fault.target.startswith(KME_PREFIX):
        return tuple(f for f in others if _kills_kms(f))
    return ()


def _kills_kms(fault: Fault) -> bool:
    return fault.kind is FaultKind.KILL and fault.target == KMS


def surviving_channels(topology: Topology, active: Iterable[Fault]) -> frozenset[str]:
    """Channels that carry packets both ways under ``active``."""
    state = effects(topology, active)
    broken = state.dead | state.silent | {port for port, how in state.impaired.items() if how.loss_pct >= 100}
    return frozenset(
        c.id for c in topology.channels if not broken.intersection(links.interfaces(topology, c))
    )  # fmt: skip
