"""The states of connections and slices, and for each of the two the table of its transitions."""

from __future__ import annotations

from enum import Enum


class ConnectionState(Enum):
    """Where one connection stands."""

    PENDING = "PENDING"  # reserved, nothing on the switches yet
    INSTALLING = "INSTALLING"  # rules and tunnels are on their way
    ACTIVE = "ACTIVE"  # rules confirmed by barriers, both tunnel ends hold a key, no probe fails
    REROUTING = "REROUTING"  # hit or modified: a new path is being installed beside the old one
    DEGRADED = "DEGRADED"  # no path satisfies it now, or the one it has fails its probes; tried again
    LEAVING = "LEAVING"  # gives way to its successor at another site, and carries traffic until that one works
    REMOVING = "REMOVING"
    REMOVED = "REMOVED"


class SliceState(Enum):
    """Where a slice stands; DEGRADED while any of its connections is."""

    SCHEDULED = "SCHEDULED"  # holds nothing until its start, or until a recurring one comes again
    RESERVED = "RESERVED"  # holds its resources until it is committed or the reservation expires
    PROVISIONING = "PROVISIONING"
    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    MODIFYING = "MODIFYING"  # holds the old and the new until the new is proven
    DELETING = "DELETING"
    DELETED = "DELETED"
    FAILED = "FAILED"  # could not be made; holds nothing


CONNECTION_TRANSITIONS: dict[ConnectionState, frozenset[ConnectionState]] = {
    ConnectionState.PENDING: frozenset({ConnectionState.INSTALLING, ConnectionState.REMOVED}),
    ConnectionState.INSTALLING: frozenset(
        {ConnectionState.ACTIVE, ConnectionState.REROUTING, ConnectionState.DEGRADED, ConnectionState.REMOVING}
    ),
    ConnectionState.ACTIVE: frozenset(
        {ConnectionState.REROUTING, ConnectionState.DEGRADED, ConnectionState.LEAVING, ConnectionState.REMOVING}
    ),
    ConnectionState.REROUTING: frozenset(
        {
            ConnectionState.ACTIVE,
            ConnectionState.REROUTING,
            ConnectionState.DEGRADED,
            ConnectionState.LEAVING,
            ConnectionState.REMOVING,
        }
    ),
    ConnectionState.DEGRADED: frozenset(
        {ConnectionState.ACTIVE, ConnectionState.REROUTING, ConnectionState.LEAVING, ConnectionState.REMOVING}
    ),
    ConnectionState.LEAVING: frozenset({ConnectionState.REROUTING, ConnectionState.DEGRADED, ConnectionState.REMOVING}),
    ConnectionState.REMOVING: frozenset({ConnectionState.REMOVED}),
    ConnectionState.REMOVED: frozenset(),
}
SLICE_TRANSITIONS: dict[SliceState, frozenset[SliceState]] = {
    SliceState.SCHEDULED: frozenset({SliceState.RESERVED, SliceState.FAILED, SliceState.DELETED}),
    SliceState.RESERVED: frozenset({SliceState.PROVISIONING, SliceState.DELETED}),
    SliceState.PROVISIONING: frozenset({SliceState.ACTIVE, SliceState.DEGRADED, SliceState.DELETING}),
    SliceState.ACTIVE: frozenset({SliceState.DEGRADED, SliceState.MODIFYING, SliceState.DELETING}),
    SliceState.DEGRADED: frozenset({SliceState.ACTIVE, SliceState.MODIFYING, SliceState.DELETING}),
    SliceState.MODIFYING: frozenset({SliceState.ACTIVE, SliceState.DEGRADED, SliceState.DELETING}),
    SliceState.DELETING: frozenset({SliceState.DELETED, SliceState.FAILED, SliceState.SCHEDULED}),
    SliceState.FAILED: frozenset({SliceState.DELETED}),
    SliceState.DELETED: frozenset(),
}
