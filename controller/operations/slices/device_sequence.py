"""One device after the other, as in paper 001 (Fig. 8): per connection, along its path from the cell.

One change of the network at a time (section 3.3: "the network configuration is locked by the orchestrator"); what has
been configured is taken back in reverse order when a step fails. The devices' edits are told to nobody else meanwhile:
the comparison of switches with what they shall hold leaves out what a device has in hand.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

from controller.forwarding.intended import Changes
from controller.forwarding.items import Item
from controller.model.connection import Connection
from controller.model.errors import DeviceFailed, FailedStep, StepFailed
from controller.model.request import Role
from controller.operations.concurrency import Operation
from controller.operations.context import OperationContext
from controller.operations.drivers import Devices, SwitchFault
from controller.operations.tracing import Stopwatch

log = logging.getLogger(__name__)

# As in Fig. 8: "core site to cell site", "compute site to cell site", "compute to core".
ORDER = (Role.CONTROL, Role.ACCESS, Role.BACKHAUL)


class DeviceSequence:
    """Any method may be called from any thread, without the lock."""

    def __init__(self, context: OperationContext, devices: Devices) -> None:
        self._context, self._devices = context, devices
        self._turn = threading.Lock()

    def install(self, name: str, operation: Operation, watch: Stopwatch) -> None:
        """Everything of a slice on the switches. Raises Superseded, StepFailed."""
        with self._turn:
            watch.stage("turn")
            with self._context.lock:
                steps = planned(self._context.model.connections_of(name))
            for number, (connection_id, site) in enumerate(steps, 1):
                self._install(FailedStep(number, len(steps), site, connection_id), operation, watch)

    def _install(self, step: FailedStep, operation: Operation, watch: Stopwatch) -> None:
        context = self._context
        with context.lock:
            operation.check()
            connection = context.model.connections[step.connection]
            changes = self._begin(context.model.install_at(connection, step.device))
        for site, wanted in changes.items():  # none where healing has been here already
            try:
                self._configure("configure", connection, site, wanted, watch)
            except DeviceFailed as error:
                raise StepFailed(step, str(error)) from error

    def withdraw(self, connections: Iterable[Connection], watch: Stopwatch) -> None:
        """Nothing of the connections is left on the switches, the last device first.

        Where a device does not do it, its switch is told by OpenFlow, and compared with what it shall hold.
        """
        context = self._context
        with self._turn:
            watch.stage("turn")
            for connection_id, site in reversed(planned(connections)):
                with context.lock:
                    found = context.model.connections.get(connection_id)
                    changes = {} if found is None else self._begin(context.model.withdraw_at(found, site))
                for where, unwanted in changes.items():
                    assert found is not None
                    self._take_back(found, where, unwanted, watch)
            self._rest(connections)

    def _take_back(self, connection: Connection, site: str, changes: Changes, watch: Stopwatch) -> None:
        try:
            self._configure("withdraw", connection, site, changes, watch)
        except DeviceFailed as error:
            log.warning("device %s: %s; its switch is told by OpenFlow", site, error)
            self._context.switches.report(SwitchFault(site, None, str(error)))
            self._context.wait_or_repair(f"withdrawing {connection.id}", self._context.switches.send({site: changes}))
            watch.stage("openflow")

    def _rest(self, connections: Iterable[Connection]) -> None:
        """What stands where no path of the connections leads any more, as after a restart in the middle."""
        context = self._context
        with context.lock:
            left = [c for c in context.existing(c.id for c in connections) if context.model.sites_of(c)]
            pending = context.switches.send(context.model.withdraw_all(left)) if left else None
        if pending is not None:
            context.wait_or_repair("withdrawing what was left", pending)

    def _begin(self, changes: Mapping[str, Changes]) -> Mapping[str, Changes]:
        """From here on these are the devices' business. Call with the lock held."""
        for site, wanted in changes.items():
            self._context.in_hand[site] = _items(wanted)
        return changes

    def _configure(self, name: str, connection: Connection, site: str, changes: Changes, watch: Stopwatch) -> None:
        context = self._context
        try:
            times = self._devices.configure(site, changes)
        except DeviceFailed as error:
            watch.device(name, connection.id, site, error.times, str(error))
            raise
        finally:
            with context.lock:
                context.in_hand.pop(site, None)
        context.model.confirm_departures(site, changes.departures, context.steady())
        watch.device(name, connection.id, site, times, None)


def _items(changes: Changes) -> frozenset[Item]:
    return frozenset((*changes.remove, *changes.add, *changes.replace))


def planned(connections: Iterable[Connection]) -> list[tuple[str, str]]:
    """Connection and site of each step: control connections first, each along its working path, then its backup's."""
    steps = []
    for connection in sorted(connections, key=_place):
        sites = [site for lane in connection.lanes for site in lane.route.sites]
        steps += [(connection.id, site) for site in dict.fromkeys(sites)]
    return steps


def _place(connection: Connection) -> int:
    """By role, then as requested (sorting keeps that order)."""
    role = connection.request.role
    return ORDER.index(role) if role in ORDER else len(ORDER)
