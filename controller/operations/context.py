"""What every operation works with: the model and its lock, the drivers, the journal, the audience.

The lock guards the model, and covers deciding and sending; nobody waits for a switch, a tunnel or the KMS while
holding it. So decisions come one at a time, their messages reach each switch in the order of the decisions, and
several slices can be on their way at once.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controller.forwarding.items import Item
from controller.model.connection import Connection
from controller.model.errors import ControllerError, DriverError
from controller.model.events import ConnectionChanged, SliceChanged
from controller.model.key_rates import SectionStatus
from controller.model.provisioning_trace import ProvisioningMode
from controller.model.slice_record import SliceRecord
from controller.model.states import SliceState
from controller.operations.concurrency import Operation
from controller.operations.drivers import (
    ChannelPorts,
    Devices,
    Journal,
    KeyRates,
    Pending,
    Switches,
    SwitchFault,
    Tunnels,
)
from controller.operations.event_log import EventLog
from controller.operations.extending.pce import ExternalPce
from controller.operations.extending.terms import Terms
from controller.operations.supervision import Supervisor
from controller.operations.tracing import Traces
from controller.pce.infeasibility import Infeasible
from controller.policy.restoration import explain_briefly
from controller.schema.config import DEFAULT_HOLD_S
from controller.schema.terms import Terms as RequestTerms
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)

BARRIER_DEADLINE_S = 5.0
TUNNEL_DEADLINE_S = 10.0
# Switches confirm a change before all of their threads go by it (Open vSwitch: its revalidators); what is on its way
# over the rules that were left must still find them.
DRAIN_S = 0.1


class InfeasibleRequest(ControllerError):
    """The slice does not fit; carries the explanation."""

    def __init__(self, name: str, infeasible: Infeasible) -> None:
        self.infeasible = infeasible
        super().__init__(f"slice {name}: {explain_briefly(infeasible)}")

    @property
    def is_about_keys(self) -> bool:
        """Whether key rate is among what it lacks."""
        return any(reason.constraint == "key_rate" for reason in self.infeasible.reasons)


@dataclass(frozen=True)
class OperationOptions:
    """How operations run. The defaults are those of the process; tests bring clocks and checkpoints of their own."""

    clock: Callable[[], float] = time.time
    """Seconds since the epoch. Starts and ends of slices and expiries of reservations go by it."""

    steady: Callable[[], float] = time.monotonic
    """Seconds on a clock that is never set. Durations, retries and hold times go by it."""

    checkpoint: Callable[[str], None] = lambda name: None
    """Called with each name in :mod:`controller.testing.checkpoints` when the work comes to it."""

    drain_s: float = DRAIN_S
    """How long rules stay after traffic has left them, in seconds, so that packets on their way still find them."""

    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    """Makes the ids of reservations and feasibility jobs. No id is made twice, over restarts too."""

    spare_hold_s: float = DEFAULT_HOLD_S
    """How long an activated dark channel that nothing needs any more stays lit, in seconds."""


@dataclass
class OperationContext:
    """Shared by all operations."""

    model: NetworkState
    switches: Switches
    tunnels: Tunnels
    key_rates: KeyRates
    journal: Journal
    events: EventLog
    channel_ports: ChannelPorts | None = None  # None: dark channels stay dark
    options: OperationOptions = field(default_factory=OperationOptions)
    lock: threading.RLock = field(default_factory=threading.RLock)
    supervisor: Supervisor = field(default_factory=Supervisor)
    operations: dict[str, Operation] = field(default_factory=dict)  # by slice
    sections: dict[str, SectionStatus] = field(default_factory=dict)
    kms_silence: str | None = None  # why the KMS has not told its rates when it was asked last
    pce: ExternalPce | None = None  # None: the builtin path computation
    healing: Terms | None = None  # None: the builtin policy
    devices: Devices | None = None  # None: slices are set up by OpenFlow, all switches at once
    in_hand: dict[str, frozenset[Item]] = field(default_factory=dict)  # by site: what a device is changing just now
    traces: Traces = field(default_factory=Traces)

    @property
    def terms(self) -> RequestTerms:
        """What requests are held against."""
        model = self.model
        suites = model.forbidden_suites, model.extension_suites
        return RequestTerms(model.topology, *suites, model.encryption, model.policy.always)

    # --- options -------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.options.clock()

    def steady(self) -> float:
        """Seconds on a clock that is never set."""
        return self.options.steady()

    def checkpoint(self, name: str) -> None:
        """The work has come to a checkpoint (:mod:`controller.testing.checkpoints`)."""
        self.options.checkpoint(name)

    @property
    def mode(self) -> ProvisioningMode:
        """How slices are set up."""
        return ProvisioningMode.PARALLEL if self.devices is None else ProvisioningMode.SEQUENTIAL

    def new_id(self) -> str:
        return self.options.new_id()

    def drain(self) -> None:
        """Let what is on its way over rules that were left arrive before they go. Call without the lock."""
        if self.options.drain_s:
            time.sleep(self.options.drain_s)

    # --- switches ------------------------------------------------------------------------------------------------

    def wait_or_repair(self, what: str, pending: Pending) -> None:
        """Wait for changes after which the work goes on whatever became of them. Call without the lock.

        A switch that refused or did not answer is compared with what it shall hold, and repaired, as after
        :meth:`Switches.post`. ``what`` names the work in the log.
        """
        for fault in pending.wait(BARRIER_DEADLINE_S):
            log.warning("%s: switch %s: %s; it will be repaired", what, fault.site, fault.message)
            self.switches.report(fault)

    def look_at_switches(self) -> None:
        """Note which switches take new paths, and which are away. Call with the lock held, before any search."""
        ready = [site for site in self.model.topology.site_names if self.switches.is_ready(site)]
        self.model.observe_switches(ready, self.steady())

    # --- states told and journalled ------------------------------------------------------------------------------

    def refresh_state(self, name: str) -> SliceRecord:
        """Bring the slice's state up to what its connections amount to; tell it, and journal it if possible."""
        before = self.model.slice(name).state
        record = self.model.refresh_state(name)
        if record.state is not before:
            self.announce(record)
        self.save_if_possible(name)
        return record

    def announce(self, record: SliceRecord, reason: str | None = None) -> None:
        """``reason`` instead of the record's own, where it has none."""
        self.events.publish(SliceChanged(record.name, record.state, record.reason or reason, record.expires_at))

    def announce_connection(self, connection: Connection) -> None:
        """Told of what healing moves or loses; creation, change and removal are told by slice."""
        name, why = connection.request.slice_name, connection.explanation
        detail, code = (None, None) if why is None else (why.detail, why.code)
        self.events.publish(ConnectionChanged(connection.id, name, connection.state, detail, code))

    def save(self, *names: str) -> None:
        """Journal slices as they are. One being modified is journalled by the modification alone: all or nothing."""
        entries = [
            (self.model.slice(name), self.model.connections_of(name))
            for name in names
            if name not in self.model.retained
        ]
        if entries:
            self.journal.save(*entries)

    def save_slices_of(self, ids: Iterable[str]) -> None:
        """Journal what healing has done. A failure here costs a second reroute after a crash, not the first one."""
        for name in sorted({c.request.slice_name for c in self.existing(ids)}):
            self.save_if_possible(name)

    def save_if_possible(self, name: str) -> None:
        try:
            self.save(name)
        except DriverError as error:
            log.warning("slice %s: reroute not journalled: %s", name, error)

    def existing(self, ids: Iterable[str]) -> list[Connection]:
        return [self.model.connections[i] for i in ids if i in self.model.connections]

    def forget_at_once(self, record: SliceRecord, reason: str | None = None) -> None:
        """Strike out a slice that has nothing on any switch or host. Call with the lock held. Raises DriverError."""
        gone = record.become(SliceState.DELETED)
        self.journal.forget(record.name)
        self.model.forget(record.name)
        self.announce(gone, reason)

    # --- what is under way ---------------------------------------------------------------------------------------

    def begin_operation(self, name: str, what: str) -> Operation:
        """Note what is being done to the slice. Call with the lock held."""
        operation = Operation(what)
        self.operations[name] = operation
        return operation

    def end_operation(self, name: str, operation: Operation) -> None:
        with self.lock:
            if self.operations.get(name) is operation:
                del self.operations[name]


def wait_for(pending: Iterable[Pending], deadline_s: float) -> tuple[SwitchFault, ...]:
    """Wait for all of several changes at once; what was at fault in any of them."""
    until = time.monotonic() + deadline_s
    return tuple(fault for p in pending for fault in p.wait(max(0.0, until - time.monotonic())))


def raise_faults(faults: tuple[SwitchFault, ...]) -> None:
    if faults:
        raise DriverError("; ".join(f"switch {f.site}: {f.message}" for f in faults))
