"""What operations need from the outside world: switches, tunnels, key rates, a journal, an audience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.forwarding.intended import Changes
from controller.forwarding.tunnel_endpoint import TunnelEndpoint
from controller.model.connection import Connection
from controller.model.connectivity import TunnelReport
from controller.model.key_rates import KeyBooking, KeyPool, SectionStatus
from controller.model.provisioning_trace import DeviceTimes
from controller.model.slice_record import SliceRecord
from controller.monitoring.bfd_intervals import Pace


@dataclass(frozen=True)
class SwitchFault:
    """What went wrong on one switch; ``cookie`` None when it concerns all that was sent to it."""

    site: str
    cookie: int | None
    message: str


class Pending(Protocol):
    """Changes on their way to the switches. Whoever holds this owns their outcome, and waits."""

    def wait(self, deadline_s: float) -> tuple[SwitchFault, ...]:
        """Until every switch has confirmed by a barrier, or the deadline; empty when all went well."""


class Switches(Protocol):
    """Sends changes; what is sent first arrives first at any one switch."""

    def send(self, changes: Mapping[str, Changes]) -> Pending:
        """Send now; whoever sends waits later, as nobody else learns what went wrong."""

    def post(self, changes: Mapping[str, Changes]) -> None:
        """Send what nobody will wait for. A switch on which it fails is compared with what it shall hold, and repaired.

        For what cannot change what comes next: taking off what nothing uses any more.
        """

    def repair(self, site: str, changes: Changes) -> Pending:
        """As :meth:`send`, to a switch that is being compared: one that is not ready takes nothing else."""

    def report(self, fault: SwitchFault, /) -> None:
        """What has gone wrong in a change that was waited for and after which the work goes on: as for :meth:`post`.

        Never waits.
        """

    def is_ready(self, site: str) -> bool:
        """Whether the switch is connected and holds what it shall."""


class Devices(Protocol):
    """The layers below the orchestrator as the papers have them: one device configured at a time.

    In the place of :class:`Switches` where slices are set up one step after the other.
    """

    def configure(self, site: str, changes: Changes) -> DeviceTimes:
        """Make the changes at one device: all, or none. Doing so twice is harmless. Raises DeviceFailed.

        What became of them is not known when the device was late or went away.
        """


class Tunnels(Protocol):
    """The tunnel agents of the hosts. Raises DriverError."""

    def add(self, site: str, endpoint: TunnelEndpoint) -> None: ...

    def modify(self, site: str, endpoint: TunnelEndpoint) -> None:
        """Other MODIFIABLE fields for a connection that goes on.

        The key in use serves until one of a new kind, if that is asked for, is agreed.
        """

    def remove(self, site: str, connection_id: str) -> None: ...

    def wait_up(self, site: str, connection_id: str, timeout_s: float) -> None:
        """Until the connection carries traffic both ways under keys of the kind it was last told."""

    def held(self, site: str) -> Mapping[str, Mapping[str, Any]]:
        """What the agent says that it was told, by connection id; see :meth:`TunnelEndpoint.differing`."""

    def watch(self, site: str, token: str | None, timeout_s: float) -> tuple[str, Mapping[str, TunnelReport]]:
        """A new token, and what has changed since ``token`` (None: everything), as soon as something has.

        NotSupported when the agent is too old to tell.
        """


class Watches(Protocol):
    """How often the ends of channels prove to each other that they are there. Raises DriverError."""

    def set_paces(self, paces: Mapping[str, Pace]) -> None:
        """By interface."""


class ChannelPorts(Protocol):
    """The ports at both ends of dark channels."""

    def activate(self, channels: Iterable[str], deadline_s: float) -> Mapping[str, str | None]:
        """Raise both ends' ports, wait for carrier and try each channel: None when it works, else what is wrong.

        The rules of :mod:`controller.forwarding.continuity_test` must stand. What does not work is left as it is, to be
        deactivated.
        """

    def deactivate(self, channels: Iterable[str]) -> Pending:
        """Hold both ends' ports down. Doing so twice is harmless."""


class KeyRates(Protocol):
    """Key rates of the QKD sections. Raises DriverError."""

    def sections(self) -> tuple[SectionStatus, ...]: ...

    def pools(self) -> Mapping[KeyPool, int]:
        """How many keys are ready."""

    def bookings(self) -> Mapping[str, KeyBooking]:
        """What the KMS has promised the controller, by id, when its sections were asked for last."""

    def book(self, booking: KeyBooking, is_new: bool) -> None:
        """Reserve, or change what is reserved.

        BookingRefused when the rate is not there, BookingFailed for any other answer about this booking alone.
        """

    def release(self, booking: KeyBooking) -> None:
        """Give back. BookingFailed when the KMS answered and did not."""


class Journal(Protocol):
    """Where slices survive the process. Raises DriverError when nothing was written."""

    def save(self, *entries: tuple[SliceRecord, Iterable[Connection]]) -> None:
        """Write slices with exactly these connections, all or none."""

    def forget(self, name: str) -> None: ...

    def begin_process(self) -> int:
        """How many processes have begun with this journal before; to be called once by each."""

    def load(self) -> tuple[tuple[SliceRecord, tuple[Connection, ...]], ...]: ...
