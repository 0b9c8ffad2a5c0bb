"""The numbered checkpoints of the operations on slices: where a process can die, and the tests kill it.

The work comes to a checkpoint when what its name says has been done.
"""

from __future__ import annotations

CREATE_CHECKPOINTS = (
    "create.1-reserved",
    "create.2-journalled",
    "create.3-transit-sent",
    "create.4-transit-confirmed",
    "create.5-ingress-sent",
    "create.6-ingress-confirmed",
    "create.7-tunnels-told",
    "create.8-tunnels-up",
    "create.9-journalled-active",
)
CHANGE_CHECKPOINTS = (
    "change.1-reserved",
    "change.2-journalled",
    "change.3-transit-sent",
    "change.4-transit-confirmed",
    "change.5-tunnels-added",
    "change.6-ingress-sent",
    "change.7-ingress-confirmed",
    "change.8-keys-changed",
    "change.9-journalled-new",
    "change.10-old-ways-withdrawn",
    "change.11-old-tunnels-removed",
    "change.12-journalled-active",
)
DELETE_CHECKPOINTS = (
    "delete.1-journalled",
    "delete.2-ingress-withdrawn",
    "delete.3-ingress-confirmed",
    "delete.4-transit-withdrawn",
    "delete.5-transit-confirmed",
    "delete.6-tunnels-removed",
    "delete.7-struck-out",
)
CHECKPOINTS = CREATE_CHECKPOINTS + CHANGE_CHECKPOINTS + DELETE_CHECKPOINTS
