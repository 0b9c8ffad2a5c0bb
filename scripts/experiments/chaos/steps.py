"""A random sequence of overlapping troubles, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from scripts.testbed.faults import (
    CONTROLLER,
    FAULTS,
    KME_PREFIX,
    KMS,
    TUNNEL_PREFIX,
    Element,
    Fault,
    FaultKind,
    Faults,
    targets,
    without,
)
from topologies.links import Direction
from topologies.spec import Topology


class Trouble(Enum):
    """What is drawn; the value is its name in ``--kinds`` and in the results."""

    CUT = "link-down"
    BLACKHOLE = "link-blackhole"
    FLAP = "link-flap"
    RISK = "risk-down"  # a fibre, or what else fails as a whole: its channels and QKD sections at once
    POWER_OFF = "node-down"
    EAVESDROP = "eavesdrop-start"
    KILL = "kill"


# How often each is drawn, against the others.
WEIGHTS = {
    Trouble.CUT: 6, Trouble.BLACKHOLE: 3, Trouble.FLAP: 2, Trouble.RISK: 2, Trouble.POWER_OFF: 2,
    Trouble.EAVESDROP: 2, Trouble.KILL: 3,
}  # fmt: skip
MAX_ACTIVE = 4
LIFT_SHARE = 0.35
FAVOURED_SHARE = 0.6
CHECK_EVERY = 5  # troubles; the oracle looks while the network is quiet and still broken
MEND_EVERY = 20  # troubles; everything is lifted and must be well
DWELLS_S = (0.0, 0.05, 0.3, 1.0, 2.0)  # nothing at all: two at once
FLAP_TIMES = (2, 3, 5)
FLAP_HALVES_S = (0.02, 0.1, 0.3)
FRACTIONS = (1.0, 1.0, 0.2)  # of the photons that an eavesdropper measures; a fifth leaves keys


class Move(Enum):
    INJECT = "inject"
    FLAP = "flap"  # cut and repaired several times, repaired at the end
    LIFT = "lift"
    CHECK = "check"  # quiet, with what is broken left broken
    MEND = "mend"  # everything lifted


@dataclass(frozen=True)
class ChaosStep:
    """One move, and how long to wait after it. ``trouble`` is what was drawn, or what is lifted."""

    move: Move
    trouble: Trouble | None = None
    faults: Faults = ()
    dwell_s: float = 0.0
    times: int = 0  # of a flap
    half_s: float = 0.0  # of a flap: how long it is cut, and then up

    def __str__(self) -> str:
        flaps = f" {self.times} times" if self.times else ""
        return " ".join([self.move.value, ", ".join(map(str, self.faults))]).strip() + flaps

    @property
    def is_trouble(self) -> bool:
        return self.move in (Move.INJECT, Move.FLAP)

    @property
    def is_check(self) -> bool:
        return self.move in (Move.CHECK, Move.MEND)


Group = tuple[Trouble, Faults]


def chaos_steps(
    topology: Topology,
    troubles: int,
    seed: int,
    kinds: Collection[Trouble] = tuple(Trouble),
    favoured: Collection[str] = (),
) -> tuple[ChaosStep, ...]:
    """Steps with so many ``troubles``.

    ``favoured`` channels (those in use at the start) are drawn more often: most of a redundant network carries nothing.
    Before every check the processes that were killed are restarted: an oracle that asks a dead controller learns
    nothing.
    """
    drawn = random.Random(f"chaos/{seed}")  # noqa: S311 - an experiment, not a secret
    steps: list[ChaosStep] = []
    active: list[Group] = []

    def lift(group: Group, dwell_s: float) -> None:
        steps.append(ChaosStep(Move.LIFT, *group, dwell_s=dwell_s))
        active[:] = _lifted(active, group[1])

    for done in range(1, troubles + 1):
        while active and (len(active) >= MAX_ACTIVE or drawn.random() < LIFT_SHARE):
            lift(drawn.choice(active), drawn.choice(DWELLS_S))
        trouble, faults = _draw(topology, drawn, kinds, sorted(favoured))
        dwell_s = drawn.choice(DWELLS_S)
        if trouble is Trouble.FLAP:
            active[:] = _lifted(active, faults)
            times, half_s = drawn.choice(FLAP_TIMES), drawn.choice(FLAP_HALVES_S)
            steps.append(ChaosStep(Move.FLAP, trouble, faults, dwell_s, times, half_s))
        else:
            active[:] = [*_replaced(active, faults), (trouble, faults)]
            steps.append(ChaosStep(Move.INJECT, trouble, faults, dwell_s))
        if done % MEND_EVERY == 0 or done == troubles:
            steps.append(ChaosStep(Move.MEND))
            active.clear()
        elif done % CHECK_EVERY == 0:
            for killed in [group for group in active if group[0] is Trouble.KILL]:
                lift(killed, 0.0)
            steps.append(ChaosStep(Move.CHECK))
    return tuple(steps)


def _lifted(active: Sequence[Group], faults: Faults) -> list[Group]:
    """What is left when the inverses of ``faults`` were done: repairing a channel lifts all its faults."""
    left = []
    for trouble, group in active:
        for fault in faults:
            group, _ = without(group, FAULTS[fault.kind].inverse, fault.target, fault.direction)
        if group:
            left.append((trouble, group))
    return left


def _replaced(active: Sequence[Group], faults: Faults) -> list[Group]:
    """What is left of those that are active when ``faults`` take the places of some."""
    kept = [(t, tuple(g for g in group if not any(g.is_same_place(f) for f in faults))) for t, group in active]
    return [(trouble, group) for trouble, group in kept if group]


def _draw(topology: Topology, drawn: random.Random, kinds: Collection[Trouble], favoured: Sequence[str]) -> Group:
    possible = [t for t in WEIGHTS if t in kinds and (t is not Trouble.EAVESDROP or topology.sections)]
    trouble = drawn.choices(possible, [WEIGHTS[t] for t in possible])[0]
    if trouble is Trouble.KILL:
        named = targets(topology, Element.PROCESS)
        of_sites = [[t for t in named if t.startswith(prefix)] for prefix in (TUNNEL_PREFIX, KME_PREFIX)]
        return trouble, (Fault(FaultKind.KILL, drawn.choice((KMS, CONTROLLER, *map(drawn.choice, of_sites)))),)
    if trouble is Trouble.POWER_OFF:
        return trouble, (Fault(FaultKind.POWER_OFF, drawn.choice(targets(topology, Element.SITE))),)
    if trouble is Trouble.EAVESDROP:
        section = drawn.choice(targets(topology, Element.SECTION))
        return trouble, (Fault(FaultKind.EAVESDROP, section, fraction=drawn.choice(FRACTIONS)),)
    is_favoured = bool(favoured) and drawn.random() < FAVOURED_SHARE
    channel = topology.channel(drawn.choice(favoured if is_favoured else targets(topology, Element.CHANNEL)))
    if trouble is Trouble.RISK:
        others = [c.risk_groups for c in topology.channels if c is not channel]
        shared = [group for group in sorted(channel.risk_groups) if any(group in groups for groups in others)]
        return trouble, (Fault(FaultKind.CUT_RISK, drawn.choice(shared or sorted(channel.risk_groups))),)
    kind = FaultKind.BLACKHOLE if trouble is Trouble.BLACKHOLE else FaultKind.CUT
    direction = None if trouble is Trouble.FLAP else drawn.choice((None, None, *Direction))
    return trouble, (Fault(kind, channel.id, direction),)
