"""``link list``: the channels, as the controller knows them."""

from __future__ import annotations

import argparse

from scripts.cli.controllers import controller_of, get
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table
from scripts.testbed.paths import Layout


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    body = get(controller_of(arguments, layout), "/v1/topology")
    fields = ("id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps")
    channels = [{field: channel[field] for field in fields} for channel in body["channels"]]
    if arguments.json:
        print_json(channels)
    else:
        print_table("Channels", fields, [tuple(channel.values()) for channel in channels])
    return 0


HANDLERS: Handlers = {"link list": _list}
