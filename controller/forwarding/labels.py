"""Link-local labels: which VLAN ids are taken on each channel in each direction.

Labels are swapped at every switch (as MPLS does, RFC 3031), so one channel carries up to 4094 connections each way
and the network as a whole as many as its channels allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.forwarding.label_quarantine import LabelQuarantine
from controller.model.errors import ControllerError
from controller.model.path import Lane, Route

MAX_LABEL = 4094  # VLAN ids 0 and 4095 are reserved (IEEE 802.1Q, table 9-2)
PARTS = 8  # a process takes longer to start than an eighth of what packets wait in the longest of queues
WAYS = ("forward", "reverse", "forward_detour", "reverse_detour")  # the kinds of labels that a lane has


class LabelsExhausted(ControllerError):
    """Every label of a channel is taken in one direction."""


class LabelPool:
    """Lowest free label first, so that the same history gives the same labels; none that is in quarantine.

    A new process knows nothing of what the one before it had in quarantine, and packets may still be on their way under
    those labels. So each ``process`` (any number that counts up) begins in another part of the labels than the last.
    """

    def __init__(self, quarantine: LabelQuarantine, process: int = 0) -> None:
        self._quarantine = quarantine
        self.begin(process)
        # Bit n set: label n is taken. Bit 0 is set from the start: label 0 means "priority tag only".
        self._taken: dict[tuple[str, str], int] = {}

    def begin(self, process: int) -> None:
        """Look for free labels from this process' part on."""
        self._below = (1 << (1 + process % PARTS * (MAX_LABEL // PARTS))) - 1

    def copy(self, quarantine: LabelQuarantine) -> LabelPool:
        """An independent pool in which the same labels are taken."""
        twin = LabelPool(quarantine)
        twin._below = self._below
        twin._taken.update(self._taken)
        return twin

    def allocate(self, route: Route, generation: int, *, with_detours: bool = False) -> Lane:
        """Labels for both directions of a route, all or nothing; LabelsExhausted names the channel.

        ``with_detours`` adds labels for the way back from any site of the route to its end.
        """
        taken: dict[str, tuple[int, ...]] = dict.fromkeys(WAYS, ())
        try:
            for way in WAYS if with_detours else WAYS[:2]:
                taken[way] = self._take(*_hops(route, way))
        except LabelsExhausted:
            self.release(Lane(route, generation=generation, **taken))
            raise
        return Lane(route, generation=generation, **taken)

    def claim(self, lane: Lane) -> None:
        """Mark the labels of a lane read back from the journal as taken."""
        for channels, senders, labels in _labelled(lane):
            for channel, sender, label in zip(channels, senders, labels, strict=True):
                self._taken[channel, sender] = self._taken.get((channel, sender), 1) | 1 << label

    def release(self, lane: Lane) -> None:
        for channels, senders, labels in _labelled(lane):
            self._give_back(channels, senders, labels)

    def taken(self, channel: str, sender: str) -> int:
        """How many labels are in use on a channel in the direction away from ``sender``."""
        return self._taken.get((channel, sender), 1).bit_count() - 1

    def _take(self, channels: Sequence[str], senders: Sequence[str]) -> tuple[int, ...]:
        labels: list[int] = []
        for channel, sender in zip(channels, senders, strict=True):
            label = self._free(channel, sender)
            if label is None:
                self._give_back(channels[: len(labels)], senders[: len(labels)], labels)
                raise LabelsExhausted(f"channel {channel}: all {MAX_LABEL} labels away from {sender} are taken")
            self._taken[channel, sender] = self._taken.get((channel, sender), 1) | 1 << label
            labels.append(label)
        return tuple(labels)

    def _free(self, channel: str, sender: str) -> int | None:
        taken = self._taken.get((channel, sender), 1)
        is_held = self._quarantine.is_held
        for mask in (taken | self._below, taken):
            label = _lowest_free(mask)
            while is_held(channel, sender, label):
                mask |= 1 << label
                label = _lowest_free(mask)
            if label <= MAX_LABEL:
                return label
        return None

    def _give_back(self, channels: Sequence[str], senders: Sequence[str], labels: Sequence[int]) -> None:
        for channel, sender, label in zip(channels, senders, labels, strict=True):
            self._taken[channel, sender] &= ~(1 << label)


def _lowest_free(mask: int) -> int:
    return (~mask & (mask + 1)).bit_length() - 1


def _hops(route: Route, way: str) -> tuple[Sequence[str], Sequence[str]]:
    """The channels that carry a lane's labels of one kind, with the site that sends on each."""
    return {
        "forward": (route.channels, route.sites[:-1]),
        "reverse": (route.channels, route.sites[1:]),
        # What has come forward goes back in the reverse direction, and the other way round.
        "forward_detour": (route.channels[:-1], route.sites[1:-1]),
        "reverse_detour": (route.channels[1:], route.sites[1:-1]),
    }[way]


def _labelled(lane: Lane) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[int]]]:
    """Channels, senders and labels of each kind that the lane has."""
    for way in WAYS:
        labels: tuple[int, ...] = getattr(lane, way)
        if labels:
            yield *_hops(lane.route, way), labels
