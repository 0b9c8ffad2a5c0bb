"""Random histories of label-switched paths over switches that are away, late, refusing or restarting.

Only the network is simulated: labels, rules, what is sent to whom and what is believed are the controller's own. Each
history lays, moves and deletes connections while messages to switches are late, lost or refused and packets wait in
queues; hosts send all the while, also those of connections that are gone. No packet may come out where another
connection's rules send it, and no label of a channel may mean two connections in what switches really hold.

``python -m tests.label_histories --count 1000000`` runs many; ``--without-quarantine`` shows what it is there for.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from controller.forwarding.intended import Changes, IntendedSet
from controller.forwarding.items import HOST_PORT, Item
from controller.forwarding.label_quarantine import LabelQuarantine, received_by, sent_by
from controller.forwarding.labels import LabelPool
from controller.forwarding.protection_groups import entry_items, has_detours, is_inner, lane_items
from controller.forwarding.rules import PortMap, base_rules, connection_number
from controller.model.connection import Connection
from controller.model.path import Lane, Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Protection, Role, SecurityRequirement
from tests.support.fake_switches import FakeTable
from tests.support.label_network import CHANNEL_AT, PORTS, QUEUE_S, ROUTES, TOPOLOGY, Switch, number_of, ways_out
from topologies.spec import SecurityClass

STEPS = 24


class Misdelivered(AssertionError):
    """A packet came out at another connection's end, or a label means two connections."""


class NoQuarantine(LabelQuarantine):
    """A label is free as soon as its connection has left."""

    def is_held(self, channel: str, sender: str, label: int) -> bool:
        return False


class History:
    """One run; ``quarantine`` makes the quarantine that labels go through.

    Without ``is_careful``, switches take new paths as soon as they are connected, and each process begins with the
    same labels.
    """

    def __init__(
        self,
        seed: int,
        quarantine: Callable[[PortMap], LabelQuarantine] = LabelQuarantine,
        *,
        is_careful: bool = True,
    ) -> None:
        self._is_careful = is_careful
        self.random = random.Random(seed)
        self.now = 0.0
        self._order = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._make_quarantine = quarantine
        self._processes = 0
        self.switches = {s: Switch(FakeTable({r.key: r for r in base_rules(s)})) for s in TOPOLOGY.site_names}
        self.connections: dict[str, Connection] = {}
        self.held: dict[str, tuple[Lane, ...]] = {}
        self.senders: list[Connection] = []  # their hosts send, whether or not they are gone
        self._start_controller()

    def _start_controller(self) -> None:
        """A controller that has the journal and nothing else."""
        self.quarantine = self._make_quarantine(PORTS)
        self.intended = IntendedSet(TOPOLOGY.site_names, self.quarantine)
        self.labels = LabelPool(self.quarantine, self._processes)
        self._processes += self._is_careful
        self.held = {c.id: c.lanes for c in self.connections.values()}
        for connection in self.connections.values():
            for lane in connection.lanes:
                self.labels.claim(lane)
            self.intended.assign(connection.id, self._all_items(connection))

    # --- the run -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        happenings = (
            (self._create, 6), (self._move, 4), (self._delete, 5), (self._lose_switch, 2), (self._restart_switch, 1),
            (self._connect_switch, 3), (self._refuse, 1), (self._restart_controller, 0.3), (self._send_packets, 8),
            (self._wait, 6),
        )  # fmt: skip
        acts, weights = [act for act, _ in happenings], [weight for _, weight in happenings]
        for act in self.random.choices(acts, weights, k=STEPS):
            act()
            self._check_tables()
            self._advance(self.random.expovariate(20.0))
        self._send_packets()
        self._advance(4.0)

    def _later(self, delay_s: float, event: Callable[[], None]) -> None:
        self._at(self.now + delay_s, event)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        """What is to happen at one time happens in the order in which it was said."""
        self._order += 1
        heapq.heappush(self._events, (when, self._order, event))

    def _advance(self, duration_s: float) -> None:
        until = self.now + duration_s
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until
        self.quarantine.release_due(self.now)

    def _wait(self) -> None:
        self._advance(self.random.choice((0.05, 0.5, 3.0)))

    # --- connections ---------------------------------------------------------------------------------------------

    def _usable(self, routes: Iterable[Route]) -> list[Route]:
        """Only switches that have been compared take new paths."""
        return [r for r in routes if all(self._takes_paths(self.switches[s]) for s in r.sites)]

    def _takes_paths(self, switch: Switch) -> bool:
        return switch.is_ready if self._is_careful else switch.is_connected

    def _create(self) -> None:
        (src, dst), routes = self.random.choice(list(ROUTES.items()))
        usable = self._usable(routes)
        if not usable or len(self.senders) > 8:
            return
        number = len(self.senders)
        protection = self.random.choice((Protection.RESTORATION, Protection.ONE_TO_ONE))
        spec = ConnectionSpec(SecurityRequirement((SecurityClass.NONE,)), 1000, 50_000, protection=protection)
        request = ConnectionRequest(f"s{number}", "c", Role.CONTROL, src, dst, spec)
        lanes = self._take_lanes(Connection(request, number, (), 0), usable, 0)
        connection = Connection(request, number, lanes, len(lanes))
        self.connections[connection.id] = connection
        self.held[connection.id] = lanes
        self.senders.append(connection)
        self._lay(connection)

    def _take_lanes(self, connection: Connection, routes: list[Route], generation: int) -> tuple[Lane, ...]:
        count = 2 if connection.request.spec.protection.has_backup else 1
        chosen = self.random.sample(routes, min(count, len(routes)))
        detours = has_detours(connection)
        return tuple(
            self.labels.allocate(route, generation + 1 + i, with_detours=detours) for i, route in enumerate(chosen)
        )

    def _lay(self, connection: Connection) -> None:
        """Transit and egress, then the ingress, as the controller's stages do."""
        items = [*self.intended.of(connection.id), *self._lane_items(connection)]
        self._send(self.intended.assign(connection.id, items))
        entry = entry_items(PORTS, connection)
        keys = {item.key for item in entry}
        kept = [item for item in self.intended.of(connection.id) if item.key not in keys or item in entry]
        self._send(self.intended.assign(connection.id, [*kept, *entry]))

    def _move(self) -> None:
        if not self.connections:
            return
        connection = self.random.choice(list(self.connections.values()))
        usable = self._usable(ROUTES[connection.request.src, connection.request.dst])
        if not usable:
            return
        lanes = self._take_lanes(connection, usable, connection.generation)
        moved = replace(connection, lanes=lanes, generation=connection.generation + len(lanes))
        self.connections[moved.id] = moved
        self.senders[moved.number] = moved
        self.held[moved.id] = (*self.held[moved.id], *lanes)
        self._lay(moved)
        self._later(self.random.uniform(0.0, 0.3), lambda: self._settle(moved))

    def _settle(self, moved: Connection) -> None:
        if self.connections.get(moved.id) is not moved:
            return
        self._send(self.intended.assign(moved.id, self._all_items(moved)))
        for lane in self.held[moved.id]:
            if lane not in moved.lanes:
                self.labels.release(lane)
        self.held[moved.id] = moved.lanes

    def _delete(self) -> None:
        if not self.connections:
            return
        gone = self.connections.pop(self.random.choice(list(self.connections)))
        self._send(self.intended.assign(gone.id, [item for item in self.intended.of(gone.id) if is_inner(item)]))
        self._send(self.intended.assign(gone.id, ()))
        for lane in self.held.pop(gone.id):
            self.labels.release(lane)

    def _lane_items(self, connection: Connection) -> list[Item]:
        return [item for lane in connection.lanes for item in lane_items(PORTS, connection, lane)]

    def _all_items(self, connection: Connection) -> list[Item]:
        return [*self._lane_items(connection), *entry_items(PORTS, connection)]

    # --- switches ------------------------------------------------------------------------------------------------

    def _send(self, changes: Mapping[str, Changes]) -> None:
        for site, change in changes.items():
            switch = self.switches[site]
            if self._takes_paths(switch):  # what cannot be sent shows when the switch is compared
                self._transmit(site, change)

    def _transmit(self, site: str, change: Changes) -> None:
        switch, quarantine = self.switches[site], self.quarantine
        connection, is_refused = switch.connection, switch.is_refusing
        switch.is_refusing = False
        switch.arrives_at = max(switch.arrives_at, self.now + self.random.expovariate(10.0))
        answer_s = self.random.expovariate(10.0)

        def arrive() -> None:
            if switch.connection != connection:
                return
            errors = ["refused"] if is_refused else switch.table.apply(change)
            if errors:
                self._look_at(site)
            else:
                self._later(answer_s, answered)

        def answered() -> None:
            if switch.connection == connection and quarantine is self.quarantine:
                quarantine.confirm(site, change.departures, self.now)

        self._at(switch.arrives_at, arrive)

    def _any(self) -> tuple[str, Switch]:
        return self.random.choice(list(self.switches.items()))

    def _lose_switch(self) -> None:
        """It forwards by the rules it has; what was on its way to it may arrive or not."""
        _, switch = self._any()
        switch.is_connected = switch.is_ready = False
        if self.random.random() < 0.5:
            switch.connection += 1
        else:
            self._later(0.5, lambda: setattr(switch, "connection", switch.connection + 1))

    def _restart_switch(self) -> None:
        site, switch = self._any()
        switch.is_connected = switch.is_ready = False
        switch.connection += 1
        switch.table.items = {r.key: r for r in base_rules(site)}

    def _connect_switch(self) -> None:
        away = [site for site, switch in self.switches.items() if not switch.is_connected]
        if away:
            site = self.random.choice(away)
            self.switches[site].is_connected = True
            self.switches[site].connection += 1
            self.switches[site].arrives_at = self.now
            self._look_at(site)

    def _refuse(self) -> None:
        self._any()[1].is_refusing = True

    def _restart_controller(self) -> None:
        """Its connections are broken; the switches come back one by one."""
        self._advance(0.0)
        self._start_controller()
        for site, switch in self.switches.items():
            switch.connection += 1
            switch.is_connected = switch.is_ready = False
            self._later(self.random.expovariate(2.0), partial(self._reconnect, site))

    def _reconnect(self, site: str) -> None:
        switch = self.switches[site]
        if not switch.is_connected:
            switch.is_connected = True
            switch.connection += 1
            switch.arrives_at = self.now
            self._look_at(site)

    def _look_at(self, site: str) -> None:
        """Ask the switch what it holds; the answer comes behind what was sent before the question."""
        switch, quarantine, mark = self.switches[site], self.quarantine, self.quarantine.mark
        connection = switch.connection
        switch.arrives_at = max(switch.arrives_at, self.now + self.random.expovariate(10.0))

        def read() -> None:
            if switch.connection == connection:
                installed = frozenset(switch.table.items.values())
                self._later(self.random.expovariate(10.0), lambda: compare(installed))

        def compare(installed: frozenset[Item]) -> None:
            if switch.connection != connection or quarantine is not self.quarantine:
                return
            difference = self.intended.difference(site, installed)
            if difference.is_empty:
                quarantine.compared(site, mark, self.now)
                switch.is_ready = True
                return
            self._transmit(site, self.intended.repair(site, difference))
            self._look_at(site)

        self._at(switch.arrives_at, read)

    # --- packets -------------------------------------------------------------------------------------------------

    def _send_packets(self) -> None:
        for sender in self.senders:
            for here, source, target in (
                (sender.request.src, sender.src_address, sender.dst_address),
                (sender.request.dst, sender.dst_address, sender.src_address),
            ):
                packet = {"vlan_vid": 0, "eth_type": 0x0800, "ipv4_src": source, "ipv4_dst": target}
                self._forward(here, packet | {"in_port": HOST_PORT}, sender.number)

    def _forward(self, site: str, packet: dict[str, Any], number: int, hops: int = 0) -> None:
        table = self.switches[site].table
        rule = table.lookup(packet)
        if rule is None or hops > 12:
            return
        for port, label in ways_out(table, rule):
            if port == HOST_PORT:
                if connection_number(rule.cookie) != number:
                    raise Misdelivered(f"a packet of {number} came out at {site} by {rule}")
                continue
            name = CHANNEL_AT[site, port]
            there = TOPOLOGY.channel(name).other(site)
            arriving = packet | {"in_port": PORTS.numbers[there, name], "vlan_vid": label | 0x1000}
            wait_s = self.random.uniform(0.0, QUEUE_S[name]) if self.random.random() < 0.5 else 0.001
            self._later(wait_s, partial(self._forward, there, arriving, number, hops + 1))

    def _check_tables(self) -> None:
        """What switches send under a label, and where it goes on, are one connection's."""
        meaning: dict[tuple[str, str, int], int] = {}

        def note(channel_id: str, sender: str, label: int, number: int) -> None:
            if meaning.setdefault((channel_id, sender, label), number) != number:
                raise Misdelivered(f"label {label} of {channel_id} from {sender}: {meaning} and {number}")

        for site, switch in self.switches.items():
            for item in switch.table.items.values():
                number = number_of(item)
                if number is None:
                    continue
                for port, label in sent_by(item):
                    note(CHANNEL_AT[site, port], site, label, number)
                for port, label in received_by(item):
                    name = CHANNEL_AT[site, port]
                    note(name, TOPOLOGY.channel(name).other(site), label, number)


def run_histories(
    first: int,
    count: int,
    quarantine: Callable[[PortMap], LabelQuarantine] = LabelQuarantine,
    *,
    is_careful: bool = True,
) -> int | None:
    """The seed of the first history that fails; None when all hold."""
    for seed in range(first, first + count):
        try:
            History(seed, quarantine, is_careful=is_careful).run()
        except Misdelivered:
            return seed
    return None


def main() -> int:
    """Run many histories on all processors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--without-quarantine", action="store_true")
    args = parser.parse_args()
    make = NoQuarantine if args.without_quarantine else LabelQuarantine
    began, batch = time.monotonic(), 500
    starts = range(args.first, args.first + args.count, batch)
    counts = [min(batch, args.first + args.count - start) for start in starts]
    done = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for count, failed in zip(counts, pool.map(run_histories, starts, counts, [make] * len(counts)), strict=True):
            done += count
            if sys.stderr.isatty():
                print(f"\r{done} of {args.count}", end="", file=sys.stderr)
            if failed is not None:
                took_s = time.monotonic() - began
                print(f"history {failed} delivers a packet to another connection's host ({took_s:.1f} s)")
                pool.shutdown(cancel_futures=True)
                return 1
    print(f"{args.count} histories, none misdelivers ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
