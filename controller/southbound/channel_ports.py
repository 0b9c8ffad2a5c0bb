"""Adapter: dark channels lit and put out by port-mod, and tried with frames before they count as lit."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from controller.forwarding.continuity_test import TRIAL_FRAME
from controller.model.errors import DriverError
from controller.monitoring.link_state import LinkMonitor
from controller.southbound.openflow import PendingTransactions, Switchboard
from topologies.spec import Port, Topology

log = logging.getLogger(__name__)

POLL_S = 0.01
ASK_S = 0.25  # a port status message can be missing (mininet#1139): the ports are asked after as well
TRIAL_S = 2.0
EMIT_S = 0.05


class OpenFlowChannelPorts:
    """Implements :class:`controller.operations.drivers.ChannelPorts`."""

    def __init__(self, topology: Topology, switchboard: Switchboard, links: LinkMonitor) -> None:
        self._switchboard = switchboard
        self._links = links
        self._ends: dict[str, tuple[Port, ...]] = {
            c.id: tuple(topology.port_of(site, c.id) for site in c.ends) for c in topology.channels if c.dark
        }
        self._heard: set[tuple[str, int]] = set()

    def deactivate(self, channels: Iterable[str]) -> PendingTransactions:
        """Hold both ends of each channel down."""
        chosen = tuple(channels)
        for channel in chosen:
            self._links.set_dark(channel)
        return self._hold(chosen, is_down=True)

    def activate(self, channels: Iterable[str], deadline_s: float) -> Mapping[str, str | None]:
        """Raise the ports of channels, wait for them to come up and try them; per channel what is wrong with it."""
        chosen = tuple(channels)
        for channel in chosen:
            self._links.begin_activation(channel)
        faults = self._hold(chosen, is_down=False).wait(deadline_s)
        wrong: dict[str, str | None] = {}
        for channel in chosen:
            refused = [f for f in faults if f.site in {port.site for port in self._ends[channel]}]
            wrong[channel] = f"switch {refused[0].site}: {refused[0].message}" if refused else None
        self._wait_for_carrier([c for c in chosen if wrong[c] is None], deadline_s)
        for channel in chosen:
            if wrong[channel] is None and not self._links.is_activated(channel):
                wrong[channel] = f"no carrier within {deadline_s:g} s"
        self._try([c for c in chosen if wrong[c] is None])
        for channel in chosen:
            deaf = [port.site for port in self._ends[channel] if (port.site, port.number) not in self._heard]
            if wrong[channel] is None and deaf:
                wrong[channel] = f"carrier, but nothing arrives at {' and '.join(deaf)}"
            if wrong[channel] is None:
                self._links.set_lit(channel)
        return wrong

    def heard(self, site: str, port: int) -> None:
        """A frame of the trial has arrived."""
        self._heard.add((site, port))

    def _hold(self, channels: Iterable[str], *, is_down: bool) -> PendingTransactions:
        ports: dict[str, dict[int, bool]] = {}
        for channel in channels:
            for port in self._ends[channel]:
                ports.setdefault(port.site, {})[port.number] = is_down
        return self._switchboard.hold_ports(ports)

    def _wait_for_carrier(self, channels: list[str], deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        ask_at = time.monotonic() + ASK_S
        while (dark := [c for c in channels if not self._links.is_activated(c)]) and time.monotonic() < deadline:
            if time.monotonic() >= ask_at:
                self._ask(dark)
                ask_at = time.monotonic() + ASK_S
            time.sleep(POLL_S)

    def _ask(self, channels: Iterable[str]) -> None:
        for port in [port for channel in channels for port in self._ends[channel]]:
            try:
                report = self._switchboard.ports(port.site).get(port.number)
            except DriverError as error:
                log.warning("%s", error)
                continue
            if report is not None:
                self._links.report(port.site, port.number, report.is_live, time.monotonic())

    def _try(self, channels: list[str]) -> None:
        """Frames out of both ends until both have been heard."""
        ends = {(port.site, port.number) for channel in channels for port in self._ends[channel]}
        self._heard -= ends
        deadline = time.monotonic() + TRIAL_S
        while not ends <= self._heard and time.monotonic() < deadline:
            for channel in channels:
                near, far = self._ends[channel]
                for sender, receiver in ((near, far), (far, near)):
                    if (receiver.site, receiver.number) not in self._heard:
                        self._emit(sender)
            emitted = time.monotonic()
            while not ends <= self._heard and time.monotonic() < emitted + EMIT_S:
                time.sleep(POLL_S)

    def _emit(self, port: Port) -> None:
        try:
            self._switchboard.emit(port.site, port.number, TRIAL_FRAME)
        except DriverError as error:
            log.warning("%s", error)
