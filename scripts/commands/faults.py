"""``link``, ``node``, ``eavesdrop``: faults, each undone by its opposite."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from scripts.commands.slices import raise_problem
from scripts.errors import DidNotHold, WrongRequest
from scripts.layout import Layout
from scripts.output import print_json, print_table, say
from scripts.run_record import running_record
from scripts.system import RunningSystem
from topologies.links import LinkError


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    link = _group(commands, "link", "list channels; cut, silence and mend them")
    link.add_parser("list", parents=[common], help="every channel with its class, state and load").set_defaults(
        run=_list
    )
    _add(link, common, "down", "cut a channel: both ends lose carrier", "ID", _link("link_down", "cut"))
    _add(link, common, "up", "mend a channel, whatever was done to it", "ID", _link("link_up", "up"))
    _add(link, common, "blackhole", "lose every packet, keep carrier", "ID", _link("link_blackhole", "a black hole"))
    node = _group(commands, "node", "switch a site off and on")
    _add(node, common, "down", "switch a site's switch off", "ID", _link("node_down", "off"))
    _add(node, common, "up", "switch it on again", "ID", _link("node_up", "on"))
    eavesdrop = _group(commands, "eavesdrop", "an intercept-resend attacker on a QKD section")
    start = _add(eavesdrop, common, "start", "let Eve measure photons", "SECTION", _eavesdrop_start)
    start.add_argument("--fraction", type=float, default=1.0, help="share of the photons she measures (default 1)")
    _add(eavesdrop, common, "stop", "send her away", "SECTION", _eavesdrop_stop)


def _group(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text).add_subparsers(dest="action", required=True, metavar="ACTION")


def _add(group: Any, common: Any, name: str, text: str, metavar: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=text)
    parser.add_argument("id", metavar=metavar)
    parser.set_defaults(run=run)
    return parser


def _link(method: str, outcome: str) -> Any:
    def run(arguments: argparse.Namespace, layout: Layout) -> int:
        system = RunningSystem(running_record(layout), layout)
        try:
            getattr(system, method)(arguments.id)
        except LinkError as error:
            raise DidNotHold(f"{arguments.id}: {error}") from error
        _tell(arguments, outcome)
        return 0

    return run


def _tell(arguments: argparse.Namespace, outcome: str) -> None:
    if arguments.json:
        print_json({"id": arguments.id, "now": outcome})
    else:
        say(f"{arguments.id} is {outcome}")


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    status, body = RunningSystem(running_record(layout), layout).api("GET", "/v1/topology")
    if status != 200:
        raise_problem(status, body)
    fields = ("id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps")
    channels = [{field: channel[field] for field in fields} for channel in body["channels"]]
    if arguments.json:
        print_json(channels)
    else:
        print_table("Channels", fields, [tuple(channel.values()) for channel in channels])
    return 0


def _eavesdrop_start(arguments: argparse.Namespace, layout: Layout) -> int:
    if not 0 < arguments.fraction <= 1:
        raise WrongRequest(f"--fraction: {arguments.fraction} is not in (0, 1]")
    return _eavesdrop("POST", {"fraction": arguments.fraction}, "being listened to", arguments, layout)


def _eavesdrop_stop(arguments: argparse.Namespace, layout: Layout) -> int:
    return _eavesdrop("DELETE", None, "free of listeners", arguments, layout)


def _eavesdrop(method: str, body: Any, outcome: str, arguments: argparse.Namespace, layout: Layout) -> int:
    system = RunningSystem(running_record(layout), layout)
    sections = [section.id for section in system.topology.sections]
    if arguments.id not in sections:
        raise WrongRequest(f"SECTION: there is no QKD section {arguments.id!r}; there are {', '.join(sections)}")
    status, answer = system.kms.call(method, f"/v1/sections/{quote(arguments.id, safe='')}/eavesdrop", body)
    if status not in (200, 204):
        raise DidNotHold(f"the KMS answered {status}: {answer}")
    _tell(arguments, outcome)
    return 0
