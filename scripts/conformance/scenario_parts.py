"""Faults, steps and metrics tried on a model of a network: what a fault does is undone by its lifting, and so on."""

from __future__ import annotations

import math
from collections.abc import Iterable

from controller.extending.views import network_view
from controller.pce.network import Network
from scripts.conformance.outcome import Report, Tally
from scripts.errors import WrongRequest
from scripts.experiments.scripted.parts import ELEMENTS, fault_of, require_inverse
from scripts.extensions.api import (
    ConnectionLook,
    Execute,
    Impair,
    Inject,
    Lift,
    Mend,
    ProbeSample,
    Say,
    StepAction,
    TimelineEvent,
)
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.testbed.faults import INVERSES, Element, FaultKind, element_of, require_target, targets, undone_by
from topologies.files import load_topology
from topologies.spec import Topology

TOPOLOGY = "metro-ring"
BUILTIN = frozenset((*(kind.value for kind in FaultKind), *INVERSES, "link flap", "lift all"))
TIMELINE = (TimelineEvent(1.0, "link down", "x", True), TimelineEvent(2.0, "link up", "x", False))


class ModelledNetwork:
    """What actions do, without doing it: impairments by channel, and built-in faults."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.impaired: dict[str, tuple[Impair, ...]] = {}
        self.faults: frozenset[tuple[FaultKind, str]] = frozenset()

    def state(self) -> object:
        return dict(self.impaired), self.faults

    def do(self, actions: Iterable[StepAction]) -> None:
        """Raises WrongRequest for what cannot be done."""
        for action in actions:
            self._one(action)

    def _one(self, action: StepAction) -> None:
        match action:
            case Impair(channel=channel):
                require_target(self._topology, Element.CHANNEL, channel)
                fault_of(action)
                self.impaired[channel] = (*self.impaired.get(channel, ()), action)
            case Mend(channel=channel):
                require_target(self._topology, Element.CHANNEL, channel)
                self.impaired.pop(channel, None)
            case Inject(do=do, target=target):
                fault = fault_of(action)
                require_target(self._topology, element_of(do), target)
                self.faults |= {(fault.kind, target)}
            case Lift(do=do, target=target):
                require_inverse(action)
                require_target(self._topology, element_of(do), target)
                self.faults -= {(kind, target) for kind in undone_by(do)}
            case Execute(site=site):
                require_target(self._topology, Element.SITE, site)
            case Say():
                pass


def check_fault(worker: Worker, report: Report) -> None:
    """On every element of its sort: done and lifted again, everything is as it was."""
    texts = dict(worker.start().texts)
    element = ELEMENTS.get(texts["element"])
    report.add("element is one there is", element is not None, texts["element"])
    identity = worker.start()
    is_new = BUILTIN.isdisjoint((identity.name, texts["inverse"])) and identity.name != texts["inverse"]
    report.add("its commands are its own", is_new, f"{identity.name}, lifted by {texts['inverse']}")
    if element is None:
        return
    topology = load_topology(TOPOLOGY)
    view = network_view(Network(topology))
    identity_holds, effects = Tally(), Tally()
    for target in targets(topology, element):
        model = ModelledNetwork(topology)
        before = model.state()
        try:
            model.do(worker.ask("apply", view, target))
            is_done = model.state() != before
            model.do(worker.ask("lift", view, target))
            told = worker.ask("effects", view, target)
        except (ExtensionError, WrongRequest) as error:
            identity_holds.bad(f"{target}: {error}")
            continue
        if not is_done:
            identity_holds.bad(f"{target}: it does nothing")
        elif model.state() != before:
            identity_holds.bad(f"{target}: something is left after it was lifted: {model.state()}")
        else:
            identity_holds.good()
        unknown = [c for c in (*told.dead, *told.worse) if not topology.has_channel(c)]
        effects.bad(f"{target}: there is no channel {unknown[0]}") if unknown else effects.good()
    identity_holds.into(report, "done and lifted again, all is as before")
    effects.into(report, "its effects are on channels that there are")


def check_step(worker: Worker, report: Report) -> None:
    """With connections and without, on a channel, a site and nothing."""
    topology = load_topology(TOPOLOGY)
    view = network_view(Network(topology))
    channel = topology.channels[0]
    looks = (ConnectionLook("a/b", "ACTIVE", (channel.id,)), ConnectionLook("a/c", "DEGRADED", ()))
    steps = Tally()
    for target in (channel.id, topology.site_names[0], ""):
        for seen in (looks, ()):
            try:
                ModelledNetwork(topology).do(worker.ask("run", view, seen, target))
            except (ExtensionError, WrongRequest) as error:
                steps.bad(f"target {target!r}: {error}")
            else:
                steps.good()
    steps.into(report, "what it does can be done")


def check_metric(worker: Worker, report: Report) -> None:
    """Finite on nothing, on all lost, on none lost; the same twice."""
    figures, same = Tally(), Tally()
    every = [ProbeSample("a/b", "ping", n / 10, 1.0 + n % 3) for n in range(40)]
    lost = [ProbeSample("a/c", "udp", n / 10, None) for n in range(40)]
    for samples in ((), tuple(every), tuple(lost), tuple(every[:10] + lost[10:20] + every[20:])):
        try:
            first, second = (worker.ask("measure", samples, TIMELINE) for _ in range(2))
        except ExtensionError as error:
            figures.bad(f"{len(samples)} samples: {error}")
            continue
        figures.good() if math.isfinite(first) else figures.bad(f"{len(samples)} samples: {first}")
        same.good() if first == second else same.bad(f"{first}, then {second}")
    figures.into(report, "a finite figure whatever was measured")
    same.into(report, "the same figure for the same samples")
