"""Link-local labels: which VLAN ids are taken on each channel in each direction.

Labels are swapped at every switch (as MPLS does, RFC 3031), so one channel carries up to 4094 connections each way
and the network as a whole as many as its channels allow.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.model import ControllerError, Route
from controller.records import Lane

MAX_LABEL = 4094  # VLAN ids 0 and 4095 are reserved (IEEE 802.1Q, table 9-2)


class LabelsExhausted(ControllerError):
    """Every label of a channel is taken in one direction."""


class LabelPool:
    """Lowest free label first, so that the same history gives the same labels."""

    def __init__(self) -> None:
        # Bit n set: label n is taken. Bit 0 is set from the start: label 0 means "priority tag only".
        self._taken: dict[tuple[str, str], int] = {}

    def allocate(self, route: Route, generation: int) -> Lane:
        """Labels for both directions of a route, all or nothing; LabelsExhausted names the channel."""
        forward = self._take(route.channels, route.sites[:-1])
        try:
            reverse = self._take(route.channels, route.sites[1:])
        except LabelsExhausted:
            self._give_back(route.channels, route.sites[:-1], forward)
            raise
        return Lane(route, forward, reverse, generation)

    def claim(self, lane: Lane) -> None:
        """Mark the labels of a lane read back from the journal as taken."""
        for senders, labels in ((lane.route.sites[:-1], lane.forward), (lane.route.sites[1:], lane.reverse)):
            for channel, sender, label in zip(lane.route.channels, senders, labels, strict=True):
                self._taken[channel, sender] = self._taken.get((channel, sender), 1) | 1 << label

    def release(self, lane: Lane) -> None:
        self._give_back(lane.route.channels, lane.route.sites[:-1], lane.forward)
        self._give_back(lane.route.channels, lane.route.sites[1:], lane.reverse)

    def taken(self, channel: str, sender: str) -> int:
        """How many labels are in use on a channel in the direction away from ``sender``."""
        return self._taken.get((channel, sender), 1).bit_count() - 1

    def _take(self, channels: Sequence[str], senders: Sequence[str]) -> tuple[int, ...]:
        labels: list[int] = []
        for channel, sender in zip(channels, senders, strict=True):
            mask = self._taken.get((channel, sender), 1)
            label = (~mask & (mask + 1)).bit_length() - 1
            if label > MAX_LABEL:
                self._give_back(channels[: len(labels)], senders[: len(labels)], labels)
                raise LabelsExhausted(f"channel {channel}: all {MAX_LABEL} labels away from {sender} are taken")
            self._taken[channel, sender] = mask | 1 << label
            labels.append(label)
        return tuple(labels)

    def _give_back(self, channels: Sequence[str], senders: Sequence[str], labels: Sequence[int]) -> None:
        for channel, sender, label in zip(channels, senders, labels, strict=True):
            self._taken[channel, sender] &= ~(1 << label)
