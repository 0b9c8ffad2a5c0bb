"""What a path computation is asked for, and the paths that it answers."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.extensions.api.network import LEVELS, ChannelView


@dataclass(frozen=True)
class ConnectionAsk:
    """What is asked of a connection. Every channel of its paths must satisfy ``level``.

    ``sources`` are the key sources, several for a hybrid key; ``key_rate_millibps`` is 0 unless QKD is among them.
    ``reserved_kbps`` is what each path takes of every channel in its direction, and against it.
    """

    id: str
    src: str
    dst: str
    level: str
    sources: tuple[str, ...]
    is_exact: bool
    bandwidth_kbps: int
    reverse_bandwidth_kbps: int | None
    reserved_kbps: tuple[int, int]
    latency_us: int  # what the channels of a path may take together; the first switch and the tunnel are off it
    key_rate_millibps: int
    rekey_s: float
    suite: str
    protection: str
    priority: int
    exclude_sites: tuple[str, ...]
    exclude_channels: tuple[str, ...]
    include_sites: tuple[str, ...]
    include_channels: tuple[str, ...]
    max_hops: int | None
    fallback: tuple[str, ...]

    @property
    def has_backup(self) -> bool:
        """Whether a second path is reserved beforehand."""
        return self.protection in ("1:1", "1+1")

    def admits(self, channel: ChannelView) -> bool:
        """Whether the class of ``channel`` will do."""
        wanted = LEVELS.index(self.level)
        return channel.level == wanted if self.is_exact else channel.level >= wanted

    def fits(self, channel: ChannelView, sender: str) -> bool:
        """Whether ``channel`` has the bandwidth left, entered at ``sender``."""
        along, against = self.reserved_kbps
        return channel.free_from(sender) >= along and channel.free_from(channel.other(sender)) >= against


@dataclass(frozen=True)
class Placement:
    """One place where a slice could compute (None: nothing to be chosen), with the connections that it then has."""

    site: str | None
    connections: tuple[ConnectionAsk, ...]


@dataclass(frozen=True)
class SliceAsk:
    """What is asked for a slice: one of the placements, and paths for all its connections together."""

    name: str
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class Route:
    """A path by its channels in order, from the connection's source to its destination.

    ``key_links`` are the QKD links over which its keys are relayed, in order; None: those of the controller's choice.
    """

    channels: tuple[str, ...]
    key_links: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ConnectionPlan:
    """The paths of one connection; ``backup`` under 1:1 and 1+1 alone. ``is_proven``: it is known to be the best."""

    id: str
    working: Route
    backup: Route | None = None
    is_proven: bool = False


@dataclass(frozen=True)
class SlicePlan:
    """Where the slice computes and the paths of its connections, which fit together."""

    site: str | None
    connections: tuple[ConnectionPlan, ...]
    is_proven: bool = False
