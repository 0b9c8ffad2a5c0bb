"""What the switches shall hold, stage by stage: the new way beside the old one, then in, then the old one away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from controller.forwarding.continuity_test import TRIAL_OWNER, trial_rules
from controller.forwarding.intended import Changes, Difference, IntendedSet, join
from controller.forwarding.items import Item
from controller.forwarding.label_quarantine import LabelQuarantine
from controller.forwarding.protection_groups import entry_items, is_inner, lane_items
from controller.forwarding.rules import PortMap
from controller.model.connection import Connection


class IntendedItems(Protocol):
    """What the switches shall hold, to be read."""

    def at(self, site: str) -> frozenset[Item]:
        """Everything that the switch of ``site`` shall hold."""
        ...

    def revision(self, site: str) -> int:
        """Another number whenever what the switch shall hold has been changed."""
        ...

    def difference(self, site: str, installed: Iterable[Item]) -> Difference:
        """Installed compared with intended, for one switch."""
        ...


class InstallStages:
    """Each stage answers with what changes at each switch."""

    def __init__(self, ports: PortMap, quarantine: LabelQuarantine) -> None:
        self._ports = ports
        self._topology = ports.topology
        self._intended = IntendedSet(ports.topology.site_names, quarantine)

    def fork(self, quarantine: LabelQuarantine) -> InstallStages:
        """Independent stages at which everything stands as it does here."""
        twin = object.__new__(InstallStages)
        twin._topology, twin._ports = self._topology, self._ports
        twin._intended = self._intended.copy(quarantine)
        return twin

    @property
    def ports(self) -> PortMap:
        return self._ports

    @property
    def intended(self) -> IntendedItems:
        return self._intended

    def install_transit(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Stage 1: transit and egress of the current lanes beside whatever the connections hold already."""
        return join(self._intended.assign(c.id, [*self._intended.of(c.id), *self._lane_rules(c)]) for c in connections)

    def switch_ingress(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Stage 2: the ingress sends into the current lane. Rules of lanes that were left still stand."""
        parts = []
        for connection in connections:
            entry = entry_items(self._ports, connection)
            keys = {item.key for item in entry}
            held = self._intended.of(connection.id)
            kept = [item for item in held if (item.key not in keys or item in entry)]
            parts.append(self._intended.assign(connection.id, [*kept, *entry]))
        return join(parts)

    def remove_old(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Stage 3: nothing but the current lanes and their entry."""
        return join(
            self._intended.assign(c.id, [*self._lane_rules(c), *entry_items(self._ports, c)]) for c in connections
        )

    def install_at(self, connection: Connection, site: str) -> dict[str, Changes]:
        """All of a connection at one site, beside whatever it holds elsewhere: nothing where it is all there."""
        wanted = [*self._lane_rules(connection), *entry_items(self._ports, connection)]
        here = [item for item in wanted if item.site == site]
        keys = {item.key for item in here}
        held = self._intended.of(connection.id)
        kept = [item for item in held if item.site != site or item.key not in keys or item in here]
        return self._intended.assign(connection.id, [*kept, *here])

    def withdraw_at(self, connection: Connection, site: str) -> dict[str, Changes]:
        """Nothing of a connection is left at one site."""
        held = self._intended.of(connection.id)
        return self._intended.assign(connection.id, [item for item in held if item.site != site])

    def sites_of(self, connection: Connection) -> frozenset[str]:
        """Where something of it is."""
        return frozenset(item.site for item in self._intended.of(connection.id))

    def withdraw_ingress(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """First stage of removal: nothing enters any more."""
        return join(
            self._intended.assign(c.id, [item for item in self._intended.of(c.id) if is_inner(item)])
            for c in connections
        )

    def withdraw_all(self, connections: Iterable[Connection]) -> dict[str, Changes]:
        """Second stage of removal: nothing is left."""
        return join(self._intended.assign(c.id, ()) for c in connections)

    def install_trial(self, channels: Iterable[str]) -> dict[str, Changes]:
        """While channels are tried: both ends hand over what arrives on them of the trial's kind."""
        return self._intended.assign(TRIAL_OWNER, trial_rules(self._topology, self._ports, channels))

    def withdraw_trial(self) -> dict[str, Changes]:
        """The end of the trial of all channels."""
        return self._intended.assign(TRIAL_OWNER, ())

    def repair(self, site: str, difference: Difference) -> Changes:
        """What makes a switch right that differs from what it shall hold."""
        return self._intended.repair(site, difference)

    def _lane_rules(self, connection: Connection) -> list[Item]:
        return [rule for lane in connection.lanes for rule in lane_items(self._ports, connection, lane)]
