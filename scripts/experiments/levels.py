"""Whether connections have the security that was asked for, judged by the topology file and what is shown of them.

Pure. Nothing of the controller's own reckoning is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topologies.spec import EncryptionMode, SecurityClass, Topology


def class_on(topology: Topology, channel_id: str, encryption: EncryptionMode) -> SecurityClass:
    """What a channel is worth: its class; where cards alone seal and it has none of ours, nothing."""
    channel = topology.channel(channel_id)
    if encryption.hosts_seal or is_sealed(topology, channel_id, encryption):
        return channel.security
    return SecurityClass.NONE


def is_sealed(topology: Topology, channel_id: str, encryption: EncryptionMode) -> bool:
    """Whether cards seal a channel: those of its wavelength, which no interface of somebody else's is part of."""
    wavelength_id = topology.channel(channel_id).wavelength
    (wavelength,) = (w for w in topology.wavelengths if w.id == wavelength_id)
    is_attached = any(c.attached for c in topology.channels if c.wavelength == wavelength_id)
    return encryption.cards_seal and wavelength.encryptor and not is_attached


def too_weak(
    topology: Topology, connection_id: str, view: Mapping[str, Any], encryption: EncryptionMode = EncryptionMode.HOST
) -> str | None:
    """What is wrong when a connection is below the class asked for, and not on a fallback that the request lists."""
    required = str(view["required"])
    level = str(view.get("level", required))
    fallback = view.get("fallback", ())
    if not encryption.hosts_seal and view["path"]:
        weakest = min(class_on(topology, channel, encryption) for channel in view["path"])
        if level != weakest.label:
            return f"{connection_id} is said to be on level {level}, and its weakest channel is {weakest.label}"
        # The level is what its channels give, which may be more than was asked for.
        level = min(fallback, key=SecurityClass.parse, default=required) if view["is_on_fallback"] else required
    if level not in (required, *fallback):
        return f"{connection_id} asked for {required} and is on level {level}, which it does not list as a fallback"
    for channel in view["path"]:
        offered = class_on(topology, channel, encryption)
        if offered < SecurityClass.parse(level):
            return f"{connection_id} asked for {level} and is on {channel} ({offered.label})"
    return None
