"""Labels that a switch may still know, although the connection that had them has left. Pure.

A label means a connection to the switches at both ends of a channel. It may go to another connection only when it means
nothing to either any more, or packets of the one come out at the hosts of the other. That is so when

* the switch upstream has confirmed that each rule and group that sent under the label is gone, and the switch
  downstream that the rule that received under it is: by the barrier behind the very message that took it away, or by a
  comparison of what the switch holds, asked for after that; and
* what was sent by then has passed the longest queue of the channel.

A switch that is away confirms nothing, and it goes on forwarding by the rules it has: its labels stay where they are
until it is back and has been compared. (RFC 3031, 3.15 leaves the time of reuse to the label's owner.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from controller.forwarding.items import IN_PORT, VLAN_PRESENT, Action, Group, Item, Output, Rule, SetField
from controller.forwarding.rules import PortMap
from topologies.spec import Topology

QUEUE_PACKETS = 20_000  # the longest queue of a channel (topologies.links.QUEUE_PACKETS)
FRAME_BITS = 8 * 1538  # of full size on the wire: preamble, header, tag, check sequence and gap included
FORWARDING_S = 0.1  # within a switch: Open vSwitch confirms a change before all of its threads go by it

Label = tuple[str, str, int]  # channel, sender, label


class LabelQuarantine:
    """What each switch has not confirmed to have let go of; ``now`` is seconds on a steady clock."""

    def __init__(self, ports: PortMap) -> None:
        self._topology = ports.topology
        self._channels = {(site, number): channel for (site, channel), number in ports.numbers.items()}
        self._queue_s = {c.id: longest_queue_s(ports.topology, c.id) for c in ports.topology.channels}
        self._sequence = 0
        self._unconfirmed: dict[str, dict[int, tuple[Label, ...]]] = {}  # by site, by number of the change
        self._passing: list[tuple[float, tuple[Label, ...]]] = []  # confirmed: free from that time on
        self._held: Counter[Label] = Counter()

    def copy(self) -> LabelQuarantine:
        """An independent one for a dry run."""
        other = LabelQuarantine.__new__(LabelQuarantine)
        other._topology, other._channels, other._queue_s = self._topology, self._channels, self._queue_s
        other._sequence = self._sequence
        other._unconfirmed = {site: dict(waiting) for site, waiting in self._unconfirmed.items()}
        other._passing, other._held = list(self._passing), Counter(self._held)
        return other

    @property
    def mark(self) -> int:
        """The number of the last change: a comparison asked for now tells of all changes up to it."""
        return self._sequence

    def depart(self, site: str, items: Iterable[Item]) -> int | None:
        """The switch is about to be told to let go of ``items``; the number to confirm that by, None if no labels."""
        labels = tuple(dict.fromkeys(label for item in items for label in self._labels_of(site, item)))
        if not labels:
            return None
        self._sequence += 1
        self._unconfirmed.setdefault(site, {})[self._sequence] = labels
        self._held.update(labels)
        return self._sequence

    def confirm(self, site: str, changes: Iterable[int], now: float) -> None:
        """The barrier behind these changes has been answered, and none of them was refused."""
        waiting = self._unconfirmed.get(site, {})
        for number in changes:
            labels = waiting.pop(number, None)
            if labels is not None:
                queue_s = FORWARDING_S + max(self._queue_s[channel] for channel, _, _ in labels)
                self._passing.append((now + queue_s, labels))

    def compared(self, site: str, mark: int, now: float) -> None:
        """The switch holds what it shall and nothing else; it was asked when :attr:`mark` was ``mark``."""
        self.confirm(site, [number for number in self._unconfirmed.get(site, {}) if number <= mark], now)

    def release_due(self, now: float) -> None:
        """Let go of the labels whose queues have passed."""
        due = [entry for entry in self._passing if entry[0] <= now]
        if not due:
            return
        self._passing = [entry for entry in self._passing if entry[0] > now]
        for _, labels in due:
            for label in labels:
                self._held[label] -= 1
                if not self._held[label]:
                    del self._held[label]

    def is_held(self, channel: str, sender: str, label: int) -> bool:
        return (channel, sender, label) in self._held

    def unconfirmed(self, site: str) -> int:
        """How many changes the switch has not confirmed."""
        return len(self._unconfirmed.get(site, {}))

    def _labels_of(self, site: str, item: Item) -> Iterator[Label]:
        """The labels under which an item sends or receives."""
        for port, label in sent_by(item):
            channel = self._channels.get((site, port))
            if channel is not None:
                yield channel, site, label
        for port, label in received_by(item):
            channel = self._channels.get((site, port))
            if channel is not None:
                yield channel, self._topology.channel(channel).other(site), label


def longest_queue_s(topology: Topology, channel_id: str) -> float:
    """How long the last packet of a full queue takes to reach the other end."""
    channel = topology.channel(channel_id)
    return QUEUE_PACKETS * FRAME_BITS / (channel.capacity_mbps * 1e6) + channel.delay_us / 1e6


def sent_by(item: Item) -> Iterator[tuple[int, int]]:
    """The ports and labels that an item sends out by."""
    match item:
        case Rule():
            yield from _sent(item.actions, in_port=dict(item.match).get("in_port"))
        case Group():
            for bucket in item.buckets:
                yield from _sent(bucket.actions, in_port=bucket.watch_port)


def received_by(item: Item) -> Iterator[tuple[int, int]]:
    """The port and label that an item takes packets by, if any."""
    if isinstance(item, Rule):
        match = dict(item.match)
        port, tag = match.get("in_port"), match.get("vlan_vid")
        if isinstance(port, int) and isinstance(tag, int) and tag & VLAN_PRESENT:
            yield port, tag & ~VLAN_PRESENT


def _sent(actions: tuple[Action, ...], in_port: int | str | None) -> Iterator[tuple[int, int]]:
    label = None
    for action in actions:
        match action:
            case SetField("vlan_vid", int(value)):
                label = value & ~VLAN_PRESENT
            case Output(port) if label is not None:
                where = in_port if port == IN_PORT else port
                if isinstance(where, int):
                    yield where, label
