"""What clock, links, switches, tunnel agents and the KMS cause: slices kept at work without anybody asking."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.forwarding.items import Item
from controller.model.errors import DriverError
from controller.operations.context import OperationContext
from controller.operations.healing.connectivity_monitor import ConnectivityMonitor
from controller.operations.healing.rekeying import Rekeying
from controller.operations.healing.restoration_service import RestorationService
from controller.operations.keys.key_rate_polling import KeyRatePolling
from controller.operations.keys.key_reservations import KeyReservations
from controller.operations.reconciliation import Reconciliation
from controller.operations.slices.deletion import Deletion
from controller.operations.slices.reservations import Reservations
from controller.operations.slices.scheduling import Scheduling
from controller.operations.startup import Startup
from controller.operations.supervision import Supervisor
from controller.policy.dark_channels import lit
from controller.state.network_state import NetworkState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HealingOperations:
    """What keeps connections at work, one object each."""

    restoration: RestorationService
    """Moves what is hit, and tries again what waits."""

    monitor: ConnectivityMonitor
    """Keeps states true to what the agents' probes say."""

    reconciliation: Reconciliation
    """Compares switches and agents with what they shall hold."""

    startup: Startup
    """Takes over what the journal holds after a restart."""


@dataclass(frozen=True)
class KeyOperations:
    """What follows the KMS, one object each."""

    key_rates: KeyRatePolling
    """Asks for the rates of QKD sections."""

    key_reservations: KeyReservations
    """Reserves at the KMS the rates that connections hold."""

    rekeying: Rekeying
    """Stretches the keys of connections that run short of them."""


@dataclass(frozen=True)
class TimedOperations:
    """What is due by the clock, one object each."""

    reservations: Reservations
    """Expire."""

    scheduling: Scheduling
    """Slices begin and end."""

    deletion: Deletion
    """Strikes out of the journal what it would not let go before."""


class Maintenance:
    """Every method may be called from any thread."""

    def __init__(
        self, context: OperationContext, healing: HealingOperations, keys: KeyOperations, timed: TimedOperations
    ) -> None:
        self._context = context
        self._healing = healing
        self._keys = keys
        self._timed = timed

    @property
    def model(self) -> NetworkState:
        """To be read with :attr:`lock` held."""
        return self._context.model

    @property
    def lock(self) -> threading.RLock:
        return self._context.lock

    @property
    def supervisor(self) -> Supervisor:
        """Keeps permanent work going."""
        return self._context.supervisor

    # --- start ---------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Take over what the journal holds; call once, before any switch is heard."""
        self._healing.startup.load()

    def recover(self) -> None:
        """Finish what the last process left half done: undo creations, complete deletions, tell the tunnel agents."""
        self._healing.startup.recover()

    def lit_spares(self) -> tuple[str, ...]:
        """The dark channels that are active, as after a restart those in use."""
        with self.lock:
            return lit(self.model)

    # --- clock ---------------------------------------------------------------------------------------------------

    def run_schedule(self) -> None:
        """Reservations expire, slices begin and end; what takes time goes on after this has returned. To be called
        about once a second.
        """
        self._timed.reservations.expire()
        try:
            self._timed.deletion.strike_out_again()
        except DriverError as error:
            log.warning("%s", error)
        self._timed.scheduling.run_due()

    @property
    def begun_by_schedule(self) -> frozenset[str]:
        """The slices that are being started or ended by the clock now."""
        return self._timed.scheduling.under_way

    def run_due(self) -> None:
        """What healing has due: reversions, dark channels put out, retries. To be called about twice a second."""
        with self.lock:
            self.model.release_due_labels(self._context.steady())
        self._healing.restoration.run_due()

    # --- links ---------------------------------------------------------------------------------------------------

    def channels_changed(self, changes: dict[str, bool], silent: frozenset[str] = frozenset()) -> None:
        """Channels went down or came up: move what is hit, try again what waits. ``silent`` are down by BFD alone."""
        self._healing.restoration.channels_changed(changes, silent)
        if any(changes.values()):
            self._healing.monitor.something_came_back()

    def look_again(self) -> None:
        """Look at everything, as news of channels have not been dealt with to the end."""
        self.heal()
        self.retry()

    def keep_dark(self, channels: Iterable[str]) -> None:
        """Dark channels whose ports were found up: they are held down again."""
        self._healing.restoration.keep_dark(channels)

    def heal(self) -> None:
        """Reroute everything that is hit."""
        self._healing.restoration.heal()

    def retry(self) -> None:
        """Something has come back: try again everything that waits."""
        self._healing.restoration.retry()

    # --- switches ------------------------------------------------------------------------------------------------

    def reconcile(self, site: str, read: Callable[[], Iterable[Item]]) -> bool:
        """Ask a switch what it holds and repair it by difference; True when it was right already. Raises DriverError.

        What is right is not touched.
        """
        return self._healing.reconciliation.reconcile(site, read)

    def switch_confirmed(self, site: str, departures: tuple[int, ...]) -> None:
        """A switch has done changes. Never waits: not for the lock either."""
        self.model.confirm_departures(site, departures, self._context.steady())

    # --- tunnel agents -------------------------------------------------------------------------------------------

    def restore_tunnels(self) -> None:
        """Compare what the tunnel agents hold with what they shall."""
        self._healing.reconciliation.restore_tunnels()

    def poll_agent(self, site: str) -> float:
        """Wait for what the agent at ``site`` has to tell of its probes; seconds to wait before the next call."""
        return self._healing.monitor.poll_agent(site)

    def confirm(self, check_switch: Callable[[str], bool]) -> None:
        """Bring states up to what the probes say, and leave ways on which they fail. To be called often.

        ``check_switch`` compares a site's switch with what it shall hold and repairs it: True when it was right.
        """
        self._healing.monitor.run_due(check_switch)

    # --- keys ----------------------------------------------------------------------------------------------------

    def refresh_keys(self) -> None:
        """Ask the KMS for its rates; what it does not answer for counts as dry."""
        self._keys.key_rates.refresh()

    def poll_keys(self) -> None:
        """As :meth:`refresh_keys`; then reserve what is held, see to those who are short of keys, and try again what
        waits for them.
        """
        stopped = self._keys.key_rates.refresh()
        if stopped is not None:
            self._keys.key_reservations.review()
        is_moving = stopped is not None and self._keys.rekeying.review(stopped)
        if is_moving:
            self._healing.restoration.heal()
        if self._keys.key_rates.take_news() or is_moving:
            self._healing.restoration.retry()
