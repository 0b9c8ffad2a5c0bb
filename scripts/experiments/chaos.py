"""A random sequence of overlapping faults, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from scripts.faults import (
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
    with_fault,
    without,
)
from topologies.links import Direction
from topologies.spec import Topology

# How often each kind is drawn, against the others.
WEIGHTS = {FaultKind.CUT: 8, FaultKind.BLACKHOLE: 3, FaultKind.POWER_OFF: 2, FaultKind.EAVESDROP: 2, FaultKind.KILL: 3}
MAX_ACTIVE = 4
LIFT_SHARE = 0.35
FAVOURED_SHARE = 0.6
CHECK_EVERY = 5  # faults; the oracle looks while the network is quiet and still broken
MEND_EVERY = 20  # faults; everything is lifted and must be well
DWELLS_S = (0.0, 0.05, 0.3, 1.0, 2.0)  # nothing at all: two faults at once


class Move(Enum):
    INJECT = "inject"
    LIFT = "lift"
    CHECK = "check"  # quiet, with what is broken left broken
    MEND = "mend"  # everything lifted


@dataclass(frozen=True)
class ChaosStep:
    """One move, and how long to wait after it."""

    move: Move
    fault: Fault | None = None
    dwell_s: float = 0.0

    def __str__(self) -> str:
        return self.move.value if self.fault is None else f"{self.move.value} {self.fault}"


def chaos_steps(
    topology: Topology,
    faults: int,
    seed: int,
    kinds: Collection[FaultKind] = tuple(FaultKind),
    favoured: Collection[str] = (),
) -> tuple[ChaosStep, ...]:
    """Steps with ``faults`` injections.

    ``favoured`` channels (those in use at the start) are drawn more often: most of a redundant network carries nothing.
    Before every check the processes that were killed are restarted: an oracle that asks a dead controller learns
    nothing.
    """
    drawn = random.Random(f"chaos/{seed}")  # noqa: S311 - an experiment, not a secret
    steps: list[ChaosStep] = []
    active: Faults = ()
    injected = 0

    def lift(fault: Fault, dwell_s: float) -> None:
        nonlocal active
        steps.append(ChaosStep(Move.LIFT, fault, dwell_s))
        active, _ = without(active, FAULTS[fault.kind].inverse, fault.target, fault.direction)

    while injected < faults:
        while active and (len(active) >= MAX_ACTIVE or drawn.random() < LIFT_SHARE):
            lift(drawn.choice(active), drawn.choice(DWELLS_S))
        fault = _draw(topology, drawn, kinds, sorted(favoured))
        active, _ = with_fault(active, fault)
        steps.append(ChaosStep(Move.INJECT, fault, drawn.choice(DWELLS_S)))
        injected += 1
        if injected % MEND_EVERY == 0 or injected == faults:
            steps.append(ChaosStep(Move.MEND))
            active = ()
        elif injected % CHECK_EVERY == 0:
            for killed in [f for f in active if f.kind is FaultKind.KILL]:
                lift(killed, 0.0)
            steps.append(ChaosStep(Move.CHECK))
    return tuple(steps)


def _draw(topology: Topology, drawn: random.Random, kinds: Collection[FaultKind], favoured: Sequence[str]) -> Fault:
    possible = [k for k in WEIGHTS if k in kinds and targets(topology, FAULTS[k].element)]
    kind = drawn.choices(possible, [WEIGHTS[k] for k in possible])[0]
    if kind is FaultKind.KILL:
        named = targets(topology, FAULTS[kind].element)
        of_sites = [[t for t in named if t.startswith(prefix)] for prefix in (TUNNEL_PREFIX, KME_PREFIX)]
        return Fault(kind, drawn.choice((KMS, CONTROLLER, *map(drawn.choice, of_sites))))
    element = FAULTS[kind].element
    is_favoured = bool(favoured) and element is Element.CHANNEL and drawn.random() < FAVOURED_SHARE
    target = drawn.choice(favoured if is_favoured else targets(topology, element))
    direction = drawn.choice((None, *Direction)) if kind is FaultKind.BLACKHOLE else None
    return Fault(kind, target, direction)
