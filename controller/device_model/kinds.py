"""What kind of device an edit configures: in the papers a site has an Ethernet switch, and may have an optical one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from controller.device_model.edits import Edit
from controller.device_model.entries import List


class DeviceKind(StrEnum):
    """Paper 001, Fig. 8: aggregation, metro and core Ethernet switch; metro optical switch."""

    ETHERNET = "ethernet"
    OPTICAL = "optical"


def kind_of(edits: Iterable[Edit], client_interface: str, *, has_optical_switch: bool) -> DeviceKind:
    """OPTICAL where the site has an optical switch and nothing that is edited has to do with its client.

    A client's traffic passes the Ethernet switch, whatever stands behind that.
    """
    if not has_optical_switch:
        return DeviceKind.ETHERNET
    return DeviceKind.ETHERNET if any(_is_of_client(edit, client_interface) for edit in edits) else DeviceKind.OPTICAL


def _is_of_client(edit: Edit, client_interface: str) -> bool:
    entry = edit.entry
    if entry.list in (List.CLIENT, List.ANSWER, List.POLICER):
        return True
    return entry.body.get("out-interface") == client_interface
