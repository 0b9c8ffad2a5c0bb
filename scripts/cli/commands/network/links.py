"""``link list|show``: the channels, as the controller knows them."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.cli.controllers import controller_of, get
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout

FIELDS = ("id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps",
          "wavelength", "ports_used", "ports_free")  # fmt: skip


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    channels = [{field: channel[field] for field in FIELDS} for channel in _channels(arguments, layout)]
    if arguments.json:
        print_json(channels)
    else:
        print_table("Channels", FIELDS, [tuple(channel.values()) for channel in channels])
    return 0


def _show(arguments: argparse.Namespace, layout: Layout) -> int:
    channel = next((each for each in _channels(arguments, layout) if each["id"] == arguments.id), None)
    if channel is None:
        raise WrongRequest(f"ID: there is no channel {arguments.id[:80]!r}; see `scripts/qslice link list`")
    if arguments.json:
        print_json(channel)
    else:
        print_table(f"Channel {channel['id']}", ("what", "value"), channel.items())
    return 0


def _channels(arguments: argparse.Namespace, layout: Layout) -> list[dict[str, Any]]:
    """Each with the client ports of its wavelength."""
    network = get(controller_of(arguments, layout), "/v1/topology")
    wavelengths = {wavelength["id"]: wavelength for wavelength in network["wavelengths"]}
    return [
        channel | {name: wavelengths[channel["wavelength"]][name] for name in ("ports_used", "ports_free")}
        for channel in network["channels"]
    ]


HANDLERS: Handlers = {"link list": _list, "link show": _show}
