"""Adapter: faults done to a running system and lifted again, with a record of those that are active.

The record lies in the run's directory, so that faults made by one command are lifted by another, and ends with the run.
It is written before the network is touched: a fault that was interrupted half-way can still be lifted.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote

from scripts.errors import DidNotHold, WrongRequest
from scripts.testbed.clients import KmsAdmin, Northbound
from scripts.testbed.faults import (
    CONTROLLER,
    FAULTS,
    KME_PREFIX,
    KMS,
    SHELF_PREFIX,
    Effects,
    Element,
    Fault,
    FaultKind,
    Faults,
    effects,
    element_of,
    hidden_behind,
    require_target,
    undone_by,
    with_fault,
    without,
)
from scripts.testbed.impairments import Impairments
from scripts.testbed.life.supervisor import SupervisorClient
from scripts.testbed.paths import Layout, write_private
from scripts.testbed.run_record import running_record
from scripts.testbed.sealed_lines import SealedLines
from topologies import links, nodes
from topologies.links import Direction, LinkError
from topologies.spec import Topology

DEATH_TIMEOUT_S = 5.0
POLL_S = 0.005
SWITCHES_TIMEOUT_S = 20.0
SWITCHES_POLL_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """What became of a command: the faults it made or lifted, and what is to be said about it."""

    faults: Faults
    note: str


class FaultInjector:
    """Injects faults into, and lifts them from, the run that the layout's record describes."""

    def __init__(
        self, topology: Topology, layout: Layout, netem: bool, northbound: Northbound, lines: SealedLines
    ) -> None:
        self._lines = lines
        self._topology, self._layout, self._netem, self._northbound = topology, layout, netem, northbound
        self._kms = KmsAdmin(layout.kms_socket)
        self._supervisor = SupervisorClient(layout.supervisor_socket)
        self._impairments = Impairments(topology, layout, netem, self._supervisor)

    def active(self) -> Faults:
        """The faults that are on the network now, in the order in which they came."""
        try:
            raw = json.loads(self._layout.faults.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        return tuple(Fault.from_dict(f) for f in raw)

    def inject(self, *faults: Fault) -> Outcome:
        """Do them, all at once. Behind another fault one is recorded, and shows when that other is lifted."""
        for fault in faults:
            self._require_target(FAULTS[fault.kind].element, fault.target)
        if any(fault.kind is FaultKind.IMPAIR for fault in faults):
            self._impairments.require()
        notes = []
        with self._changing() as change:
            before = after = self.active()
            for fault in faults:
                after, same = with_fault(after, fault)
                notes.append(f"{fault.target} is {FAULTS[fault.kind].state}" + _before(fault, same))
            change(before, after)
        for n, fault in enumerate(faults):
            hidden = hidden_behind(self._topology, after, fault)
            notes[n] += f", hidden behind: {', '.join(map(str, hidden))}" if hidden else ""
        return Outcome(faults, "; ".join(notes))

    def lift(self, inverse: str, target: str, direction: Direction | None = None) -> Outcome:
        """Undo every fault that the command ``inverse`` lifts. Says so when there is none."""
        element = element_of(inverse)
        self._require_target(element, target)
        if element is Element.PROCESS:
            return self._restart(target)
        with self._changing() as change:
            before = self.active()
            after, lifted = without(before, inverse, target, direction)
            if lifted:
                change(before, after)
            still = [f for f in hidden_behind(self._topology, after, _some(inverse, target)) if lifted]
        if not lifted:
            return Outcome((), f"{target}: there is no fault to lift")
        note = f"{target}: lifted {', '.join(map(str, lifted))}"
        return Outcome(lifted, note + (f"; still there: {', '.join(map(str, still))}" if still else ""))

    def mend(self, channel: str) -> Outcome:
        """Undo every impairment of a channel, and nothing else that is done to it."""
        require_target(self._topology, Element.CHANNEL, channel)
        with self._changing() as change:
            before = self.active()
            lifted = tuple(f for f in before if f.kind is FaultKind.IMPAIR and f.target == channel)
            if lifted:
                change(before, tuple(f for f in before if f not in lifted))
        return Outcome(lifted, f"{channel}: lifted {', '.join(map(str, lifted)) or 'nothing'}")

    def lift_all(self) -> Outcome:
        """Undo every fault, the last one first."""
        lifted: list[Fault] = []
        for fault in reversed(self.active()):
            lifted += self.lift(FAULTS[fault.kind].inverse, fault.target, fault.direction).faults
        return Outcome(tuple(lifted), f"lifted {len(lifted)} faults")

    def _require_target(self, element: Element, target: str) -> None:
        require_target(self._topology, element, target, running_record(self._layout).processes)
        is_shelf = element is Element.PROCESS and target.startswith(SHELF_PREFIX)
        if is_shelf and target.removeprefix(SHELF_PREFIX) not in self._lines.shelves:
            raise WrongRequest(f"NAME: there is no {target} in this run: cards seal after `up --encryption channel`")

    def _effects(self, active: Faults) -> Effects:
        return effects(self._topology, active, self._lines.wavelengths)

    def _restart(self, name: str) -> Outcome:
        """A killed process is started again with the configuration it had; one that runs is ended first."""
        with self._changing() as change:
            before = self.active()
            after, lifted = without(before, "restart", name)
            if lifted:
                change(before, after)
            else:
                state = self._effects(before)
                self._start_again(name, state)
                if name == KMS:  # it knows of no section that is cut or listened to any more
                    self._apply(replace(state, eavesdropped={}, unlit=frozenset()), state)
        return Outcome(lifted, f"{name} is running again" if lifted else f"{name}: it had not been killed; restarted")

    @contextmanager
    def _changing(self) -> Iterator[Callable[[Faults, Faults], None]]:
        """One change at a time, whichever command makes it."""
        handle = os.open(self._layout.faults_lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._change
        except LinkError as error:
            raise DidNotHold(str(error)) from error
        finally:
            os.close(handle)

    def _change(self, before: Faults, after: Faults) -> None:
        write_private(self._layout.faults, json.dumps([f.to_dict() for f in after], indent=1))
        self._apply(self._effects(before), self._effects(after))

    def _apply(self, old: Effects, new: Effects) -> None:
        # A KMS that dies takes its KMEs along, and one that comes back has them all: those that are down go after it.
        for name in sorted(new.killed - old.killed, key=_kmes_last):
            if not (name.startswith(KME_PREFIX) and KMS in old.killed):
                self._kill(name)
        for site in sorted(new.off - old.off):
            nodes.switch_off(self._topology, site)
        links.set_up(tuple(sorted(new.dead - old.dead)), up=False)
        self._lines.set_up(sorted(new.lines - old.lines), up=False)
        links.blackhole(tuple(sorted(new.silent - old.silent)))
        self._unsilence(old.silent - new.silent)
        self._impairments.change(old, new)
        for site in sorted(old.off - new.off):
            nodes.switch_on(self._topology, site, new.dead)
        links.set_up(tuple(sorted(old.dead - new.dead)), up=True)
        self._lines.set_up(sorted(old.lines - new.lines), up=True)
        for name in sorted(old.killed - new.killed):
            if not (name.startswith(KME_PREFIX) and KMS in new.killed):
                self._start_again(name, new)
        for section in sorted({*old.eavesdropped, *new.eavesdropped}):
            if old.eavesdropped.get(section) != new.eavesdropped.get(section) and "kms" not in new.killed:
                self._eavesdrop(section, new.eavesdropped.get(section))
        for section in sorted(old.unlit ^ new.unlit):
            if KMS not in new.killed:
                self._light(section, is_on=section not in new.unlit)

    def _unsilence(self, interfaces: frozenset[str]) -> None:
        for channel in self._topology.channels:
            repaired = tuple(i for i in links.interfaces(self._topology, channel) if i in interfaces)
            if repaired:
                links.restore(repaired, links.shape_of(self._topology, channel, self._netem))

    def _start_again(self, name: str, state: Effects) -> None:
        """A controller is back when the switches have found it; those of sites that are off will not."""
        if name.startswith(KME_PREFIX):
            self._set_kme(name, is_listening=True)
            return
        self._supervisor.restart(name)
        for kme in sorted(n for n in state.killed if name == KMS and n.startswith(KME_PREFIX)):
            self._kill(kme)
        expected = len(self._topology.sites) - len(state.off)
        deadline = time.monotonic() + SWITCHES_TIMEOUT_S
        while name == CONTROLLER and (connected := self._northbound.switches_connected()) < expected:
            if time.monotonic() > deadline:
                raise DidNotHold(
                    f"the controller runs again, but only {connected} of {expected} switches have come back"
                )
            time.sleep(SWITCHES_POLL_S)

    def _kill(self, name: str) -> None:
        if name.startswith(KME_PREFIX):
            self._set_kme(name, is_listening=False)
            return
        process = running_record(self._layout).processes[name]
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + DEATH_TIMEOUT_S
        while process.is_alive():
            if time.monotonic() > deadline:
                raise DidNotHold(f"{name} ({process.pid}) survives SIGKILL")
            time.sleep(POLL_S)

    def _set_kme(self, name: str, *, is_listening: bool) -> None:
        """The KMEs are one process: that of one site is stopped by taking its listener and connections away."""
        path = f"/v1/kmes/{quote(name.removeprefix(KME_PREFIX), safe='')}/listener"
        status, answer = self._kms.call("POST" if is_listening else "DELETE", path)
        if status != 200:
            raise DidNotHold(f"the KMS answered {status}: {answer}")

    def _eavesdrop(self, section: str, eve: Fault | None) -> None:
        path = f"/v1/sections/{quote(section, safe='')}/eavesdrop"
        method, body = "DELETE", None
        if eve is not None:
            method, body = "POST", {"fraction": eve.fraction, "attack": eve.attack.value}
        status, answer = self._kms.call(method, path, body)
        if status not in (200, 204):
            raise DidNotHold(f"the KMS answered {status}: {answer}")

    def _light(self, section: str, is_on: bool) -> None:
        status, answer = self._kms.call("DELETE" if is_on else "POST", f"/v1/sections/{quote(section, safe='')}/cut")
        if status != 200:
            raise DidNotHold(f"the KMS answered {status}: {answer}")


def _kmes_last(name: str) -> tuple[bool, str]:
    return name.startswith(KME_PREFIX), name


def _before(fault: Fault, same: Fault | None) -> str:
    if same is None:
        return ""
    return " already" if same == fault else f" (before: {same})"


def _some(inverse: str, target: str) -> Fault:
    """A fault on ``target`` of a kind that ``inverse`` lifts, to ask what hides it."""
    kind = min(undone_by(inverse), key=lambda k: list(FAULTS).index(k))
    return Fault(kind, target)
