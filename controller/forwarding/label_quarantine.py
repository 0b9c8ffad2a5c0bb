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

from collections.abc import Iterable

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
        self._held: dict[Label, int] = {}  # how many changes keep it

    def copy(self) -> LabelQuarantine:
        """An independent one for a dry run."""
        other = LabelQuarantine.__new__(LabelQuarantine)
        other._topology, other._channels, other._queue_s = self._topology, self._channels, self._queue_s
        other._sequence = self._sequence
        other._unconfirmed = {site: dict(waiting) for site, waiting in self._unconfirmed.items()}
        other._passing, other._held = list(self._passing), dict(self._held)
        return other

    @property
    def mark(self) -> int:
        """The number of the last change: a comparison asked for now tells of all changes up to it."""
        return self._sequence

    def depart(self, site: str, items: Iterable[Item]) -> int | None:
        """The switch is about to be told to let go of ``items``; the number to confirm that by, None if no labels."""
        labels = {label: None for item in items for label in self._labels_of(site, item)}
        if not labels:
            return None
        self._sequence += 1
        self._unconfirmed.setdefault(site, {})[self._sequence] = tuple(labels)
        for label in labels:
            self._held[label] = self._held.get(label, 0) + 1
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

    def _labels_of(self, site: str, item: Item) -> list[Label]:
        """The labels under which an item sends or receives."""
        labels = [(c, site, label) for port, label in sent_by(item) if (c := self._channels.get((site, port)))]
        for port, label in received_by(item):
            channel = self._channels.get((site, port))
            if channel is not None:
                labels.append((channel, self._topology.channel(channel).other(site), label))
        return labels


def longest_queue_s(topology: Topology, channel_id: str) -> float:
    """How long the last packet of a full queue takes to reach the other end."""
    channel = topology.channel(channel_id)
    return QUEUE_PACKETS * FRAME_BITS / (channel.capacity_mbps * 1e6) + channel.delay_us / 1e6


def sent_by(item: Item) -> list[tuple[int, int]]:
    """The ports and labels that an item sends out by."""
    if isinstance(item, Rule):
        return _sent(item.actions, next((value for name, value in item.match if name == "in_port"), None))
    if isinstance(item, Group):
        return [way for bucket in item.buckets for way in _sent(bucket.actions, bucket.watch_port)]
    return []


def received_by(item: Item) -> list[tuple[int, int]]:
    """The port and label that an item takes packets by, if any."""
    if not isinstance(item, Rule):
        return []
    port: int | str | None = None
    tag: int | str | None = None
    for name, value in item.match:
        if name == "in_port":
            port = value
        elif name == "vlan_vid":
            tag = value
    if isinstance(port, int) and isinstance(tag, int) and tag & VLAN_PRESENT:
        return [(port, tag & ~VLAN_PRESENT)]
    return []


def _sent(actions: tuple[Action, ...], in_port: int | str | None) -> list[tuple[int, int]]:
    """Plain tests and no generator: this is asked of each rule that a failure takes off."""
    label, found = None, []
    for action in actions:
        if isinstance(action, SetField):
            if action.field == "vlan_vid" and isinstance(action.value, int):
                label = action.value & ~VLAN_PRESENT
        elif isinstance(action, Output) and label is not None:
            port = in_port if action.port == IN_PORT else action.port
            if isinstance(port, int):
                found.append((port, label))
    return found
