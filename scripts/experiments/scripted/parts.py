"""Parts of scenarios that are extensions: faults, steps and metrics.

Each is asked in its process; what it wants done is done here, and nothing else.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from controller.extending.views import network_view
from controller.pce.network import Network
from scripts.errors import CommandError, DidNotHold, EnvironmentLacks, WrongRequest
from scripts.extensions.api import (
    ConnectionLook,
    Execute,
    Impair,
    Inject,
    Lift,
    Mend,
    NetworkView,
    ProbeSample,
    Say,
    StepAction,
    TimelineEvent,
)
from scripts.extensions.client import Worker
from scripts.extensions.errors import ExtensionError
from scripts.extensions.protocols import Kind
from scripts.testbed.extensions import InForce
from scripts.testbed.faults import INVERSES, Element, Fault, FaultKind, surviving_channels, targets
from scripts.testbed.running_system import RunningSystem
from topologies.links import Direction, Impairment
from topologies.spec import Topology

log = logging.getLogger(__name__)

EXECUTION_S = 10.0
ELEMENTS = {element.value: element for element in (Element.CHANNEL, Element.SITE, Element.SECTION)}
ALONE = {kind.value: kind for kind in FaultKind if kind is not FaultKind.IMPAIR}
"""Builtin faults that need nothing beside their target."""
DIRECTIONS: dict[str | None, Direction | None] = {None: None, **{direction.value: direction for direction in Direction}}


@dataclass(frozen=True)
class PartNames:
    """What a scenario's ``do`` may say beside the builtin commands."""

    faults: Mapping[str, Element] = field(default_factory=dict)
    inverses: Mapping[str, str] = field(default_factory=dict)  # what lifts it -> the fault
    steps: frozenset[str] = frozenset()

    @classmethod
    def of(cls, extensions: InForce, taken: Iterable[str]) -> PartNames:
        """Raises WrongRequest for one whose words are taken already, or that is done to nothing there is."""
        faults, inverses, steps, words = {}, {}, set(), set(taken)
        for chosen in extensions.of(Kind.FAULT, Kind.STEP):
            identity = chosen.identity
            texts = dict(identity.texts)
            for word in (identity.name, *([texts["inverse"]] if "inverse" in texts else ())):
                if word in words:
                    raise WrongRequest(f"--use: {identity}: {word!r} is another command already")
                words.add(word)
            if chosen.use.kind is Kind.STEP:
                steps.add(identity.name)
                continue
            if texts["element"] not in ELEMENTS:
                raise WrongRequest(f"--use: {identity}: element is {texts['element']!r}, not {', '.join(ELEMENTS)}")
            faults[identity.name] = ELEMENTS[texts["element"]]
            inverses[texts["inverse"]] = identity.name
        return cls(faults, inverses, frozenset(steps))

    def element_of(self, do: str) -> Element | None:
        """What a fault of these, or what lifts it, is about; None where it is none of these."""
        return self.faults.get(self.inverses.get(do, do))

    def inverse_of(self, do: str) -> str | None:
        """What lifts a fault of these."""
        return next((inverse for inverse, fault in self.inverses.items() if fault == do), None)


NO_PARTS = PartNames()


def require_impairments(topology: Topology, extensions: InForce, used: Iterable[str], *, can_impair: bool) -> None:
    """Before anything is begun: raises EnvironmentLacks for a fault among ``used`` that this kernel cannot do."""
    view = network_view(Network(topology))
    for chosen in extensions.of(Kind.FAULT):
        if can_impair or chosen.identity.name not in used:
            continue
        element = ELEMENTS[dict(chosen.identity.texts)["element"]]
        worker = Worker(chosen.use, extensions.deadline_s)
        try:
            actions = worker.ask("apply", view, targets(topology, element)[0])
        except ExtensionError as error:
            raise WrongRequest(f"--use: {chosen.identity}: {error.fault.value}: {error}") from error
        finally:
            worker.close()
        if any(isinstance(action, Impair) for action in actions):
            raise EnvironmentLacks(
                f"{chosen.identity} loses or delays packets, and this kernel has neither netem (sch_netem) nor eBPF's "
                "tcx (Linux 6.6): run this on one that has"
            )


def fault_of(action: Inject | Impair) -> Fault:
    """The builtin fault that is asked for. Raises WrongRequest for what is none."""
    if isinstance(action, Inject):
        if action.do not in ALONE:
            raise WrongRequest(f"there is no fault {action.do!r} that needs nothing else; Impair loses and delays")
        return Fault(ALONE[action.do], action.target)
    if action.direction not in DIRECTIONS:
        raise WrongRequest(f"direction: {action.direction!r} is neither a-b nor b-a")
    try:
        how = Impairment(action.loss_pct, action.delay_ms, action.jitter_ms)
    except ValueError as error:
        raise WrongRequest(f"{action.channel}: {error}") from error
    return Fault(FaultKind.IMPAIR, action.channel, DIRECTIONS[action.direction], impairment=how)


def require_inverse(action: Lift) -> None:
    """Raises WrongRequest for what lifts no builtin fault."""
    if action.do not in INVERSES:
        raise WrongRequest(f"nothing is lifted by {action.do!r}")


class Parts:
    """The parts at work on a running network."""

    def __init__(self, system: RunningSystem, extensions: InForce) -> None:
        self._system = system
        self._stack = ExitStack()
        self._workers: dict[str, Worker] = {}
        self._metrics: dict[str, Worker] = {}
        self.units: dict[str, str] = {}
        for chosen in extensions.of(Kind.FAULT, Kind.STEP, Kind.METRIC):
            worker = Worker(chosen.use, extensions.deadline_s)
            self._stack.callback(worker.close)
            name = chosen.identity.name
            if chosen.use.kind is Kind.METRIC:
                self._metrics[name] = worker
                self.units[name] = dict(chosen.identity.texts)["unit"]
            else:
                self._workers[name] = worker
        self._active: list[tuple[str, str]] = []  # fault and target, in the order in which they came

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # --- faults and steps ----------------------------------------------------------------------------------------

    def inject(self, fault: str, target: str) -> str:
        """Do a fault; what is to be said about it. Raises CommandError."""
        if (fault, target) in self._active:
            return f"{target}: {fault} already"
        self._active.append((fault, target))  # before anything is touched: what is done half must be lifted
        self._do(self._ask(fault, "apply", self._view(), target))
        return f"{target}: {fault}"

    def lift(self, fault: str, target: str) -> str:
        """Undo it. Raises CommandError."""
        if (fault, target) not in self._active:
            return f"{target}: there is no fault to lift"
        self._active.remove((fault, target))
        self._do(self._ask(fault, "lift", self._view(), target))
        return f"{target}: lifted {fault}"

    def lift_all(self) -> int:
        """Undo every fault, the last one first; what is left then is among the builtin faults."""
        lifted = 0
        for fault, target in reversed(self._active.copy()):
            try:
                self.lift(fault, target)
            except CommandError as error:
                log.warning("%s", error)
            lifted += 1
        return lifted

    def run(self, step: str, connections: Sequence[ConnectionLook], target: str) -> tuple[str, list[str]]:
        """Do a step; what is to be said about it, and what it has said. Raises CommandError."""
        said = self._do(self._ask(step, "run", self._view(), tuple(connections), target))
        return f"{step} {target}".strip(), said

    def dead(self) -> frozenset[str]:
        """Channels that carry nothing, by what the active faults say of themselves."""
        view = self._view()
        return frozenset(c for fault, target in self._active for c in self._ask(fault, "effects", view, target).dead)

    def _ask(self, name: str, call: str, *values: Any) -> Any:
        try:
            return self._workers[name].ask(call, *values)
        except ExtensionError as error:
            raise DidNotHold(f"{self._workers[name].identity}: {error.fault.value}: {error}") from error

    def _view(self) -> NetworkView:
        topology = self._system.topology
        network = Network(topology)
        alive = surviving_channels(topology, self._system.faults.active())
        for channel in topology.channels:
            network.set_channel_up(channel.id, channel.id in alive)
        return network_view(network)

    def _do(self, actions: Iterable[StepAction]) -> list[str]:
        said = []
        for action in actions:
            match action:
                case Say(text=text):
                    said.append(text)
                case Execute(site=site, argv=argv):
                    self._execute(site, argv)
                case Inject() | Impair():
                    self._system.faults.inject(fault_of(action))
                case Lift(do=do, target=target):
                    require_inverse(action)
                    self._system.faults.lift(do, target)
                case Mend(channel=channel):
                    self._system.faults.mend(channel)
        return said

    def _execute(self, site: str, argv: tuple[str, ...]) -> None:
        try:
            done = self._system.run(site, argv, EXECUTION_S)
        except subprocess.TimeoutExpired:
            raise DidNotHold(f"{' '.join(argv)} at {site}: had not ended after {EXECUTION_S:g} s") from None
        if done.returncode:
            raise DidNotHold(f"{' '.join(argv)} at {site}: status {done.returncode}: {done.stderr.strip()[-200:]}")

    # --- metrics -------------------------------------------------------------------------------------------------

    def measure(
        self, samples: tuple[ProbeSample, ...], events: tuple[TimelineEvent, ...]
    ) -> tuple[dict[str, float], list[str]]:
        """Every metric of a repetition, and what went wrong with any."""
        figures, wrong = {}, []
        for name, worker in self._metrics.items():
            try:
                figures[name] = worker.ask("measure", samples, events)
            except ExtensionError as error:
                wrong.append(f"{worker.identity}: {error.fault.value}: {error}")
        return figures, wrong
