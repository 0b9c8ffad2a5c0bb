"""The operations joined together: what the northbound API calls, and what everything else causes."""

from __future__ import annotations

from dataclasses import dataclass

from controller.operations.context import OperationContext
from controller.operations.extending.pce import RouteRehearsal
from controller.operations.healing.connectivity_monitor import ConnectivityMonitor
from controller.operations.healing.rekeying import Rekeying
from controller.operations.healing.restoration_service import RestorationService
from controller.operations.keys.key_rate_polling import KeyRatePolling
from controller.operations.keys.key_reservations import KeyReservations
from controller.operations.maintenance import HealingOperations, KeyOperations, Maintenance, TimedOperations
from controller.operations.reconciliation import Reconciliation
from controller.operations.slices.deletion import Deletion
from controller.operations.slices.device_sequence import DeviceSequence
from controller.operations.slices.feasibility import FeasibilityJobs
from controller.operations.slices.modification import Modification
from controller.operations.slices.provisioning import Provisioning
from controller.operations.slices.reservations import Reservations
from controller.operations.slices.scheduling import Scheduling
from controller.operations.slices.slice_service import SliceOperations, SliceService
from controller.operations.startup import Startup


@dataclass(frozen=True)
class Operations:
    """Both over the same context."""

    slices: SliceService
    """For the northbound API."""

    maintenance: Maintenance
    """For the southbound and the process."""


def assemble(context: OperationContext) -> Operations:
    if context.pce is not None:
        context.model.plan_by(context.pce)
        context.model.find_routes_by(RouteRehearsal(context.pce))  # for what has not been tried before
    key_rates = KeyRatePolling(context)
    sequence = None if context.devices is None else DeviceSequence(context, context.devices)
    deletion = Deletion(context, sequence)
    provisioning = Provisioning(context, deletion, sequence)
    reservations = Reservations(context, provisioning)
    scheduling = Scheduling(context, provisioning, deletion, key_rates)
    slices = SliceOperations(
        provisioning,
        Modification(context, deletion),
        deletion,
        reservations,
        scheduling,
        FeasibilityJobs(context, provisioning, reservations),
        key_rates,
    )
    reconciliation = Reconciliation(context)
    restoration = RestorationService(context, reconciliation)
    monitor = ConnectivityMonitor(context, restoration, reconciliation.restore_tunnels_at)
    healing = HealingOperations(restoration, monitor, reconciliation, Startup(context, deletion, reconciliation))
    keys = KeyOperations(key_rates, KeyReservations(context), Rekeying(context))
    timed = TimedOperations(reservations, scheduling, deletion)
    return Operations(SliceService(context, slices), Maintenance(context, healing, keys, timed))
