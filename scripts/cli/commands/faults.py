"""``link``, ``node``, ``eavesdrop``, ``section``, ``kill``: faults, each undone by its opposite."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from kms.sources.qkd.modes import AttackKind
from scripts.cli.commands.slices import raise_problem
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.testbed.fault_injector import Outcome
from scripts.testbed.faults import Fault, FaultKind
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies.links import Direction

DIRECTIONS = tuple(d.value for d in Direction)
MAX_FLAPS = 10_000
DIRECTION_HELP = "only one direction, named by the channel's ends as `link list` shows them"


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    link = _group(commands, "link", "list channels; cut, blackhole, flap and repair them")
    link.add_parser("list", parents=[common], help="every channel with its class, state and load").set_defaults(
        run=_list
    )
    _directed(_add(link, common, "down", "cut a channel: both ends lose carrier", "ID", _inject(FaultKind.CUT)))
    _directed(_add(link, common, "up", "repair a channel: lifts every fault on it", "ID", _lift("link up")))
    _directed(
        _add(
            link,
            common,
            "blackhole",
            "drop every packet and keep the carrier (a silent failure)",
            "ID",
            _inject(FaultKind.BLACKHOLE),
        )
    )
    flap = _add(link, common, "flap", "cut and repair a channel repeatedly", "ID", _flap)
    flap.add_argument("--times", type=int, default=5, metavar="N", help="how often (default %(default)s)")
    flap.add_argument("--period", type=float, default=1.0, metavar="S",
                      help="seconds from one cut to the next, half of them down (default %(default)s)")  # fmt: skip
    node = _group(commands, "node", "power a site off and on")
    _add(
        node,
        common,
        "down",
        "power its switch off: ports lose carrier, rules are lost",
        "ID",
        _inject(FaultKind.POWER_OFF),
    )
    _add(node, common, "up", "power it on again", "ID", _lift("node up"))
    eavesdrop = _group(commands, "eavesdrop", "an eavesdropper on a QKD section")
    start = _add(
        eavesdrop,
        common,
        "start",
        "attack the pulses of a section",
        "SECTION",
        _inject(FaultKind.EAVESDROP),
    )
    start.add_argument("--fraction", type=float, default=1.0, help="share of the pulses that are attacked (default 1)")
    start.add_argument(
        "--attack", choices=[kind.value for kind in AttackKind], default=AttackKind.INTERCEPT_RESEND.value,
        help="how (default intercept-resend)",
    )  # fmt: skip
    _add(eavesdrop, common, "stop", "end the attack", "SECTION", _lift("eavesdrop stop"))
    section = _group(commands, "section", "cut and repair the fibre of a QKD section")
    _add(section, common, "cut", "cut it: no pulse arrives, no key is made", "SECTION", _inject(FaultKind.CUT_SECTION))
    _add(section, common, "mend", "repair it", "SECTION", _lift("section mend"))
    fibre = _group(commands, "fibre", "cut and repair a fibre with all that is on it")
    cut = "cut it: its channels lose carrier, its QKD sections give no key"
    _add(fibre, common, "cut", cut, "NAME", _inject(FaultKind.CUT_FIBRE))
    _add(fibre, common, "mend", "repair it", "NAME", _lift("fibre mend"))
    names = "kms, controller, tunnel-SITE or kme-SITE"
    _add(commands, common, "kill", f"kill a process (SIGKILL): {names}", "NAME", _inject(FaultKind.KILL))
    _add(commands, common, "restart", f"restart a process: {names}", "NAME", _lift("restart"))


def _group(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text).add_subparsers(dest="action", required=True, metavar="ACTION")


def _add(group: Any, common: Any, name: str, text: str, metavar: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=text)
    parser.add_argument("id", metavar=metavar)
    parser.set_defaults(run=run)
    return parser


def _directed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--direction", choices=DIRECTIONS, help=DIRECTION_HELP)


Command = Callable[[argparse.Namespace, Layout], int]


def _system(layout: Layout) -> RunningSystem:
    return RunningSystem(running_record(layout), layout)


def _inject(kind: FaultKind) -> Command:
    def run(arguments: argparse.Namespace, layout: Layout) -> int:
        fraction = getattr(arguments, "fraction", 1.0)
        if not 0 < fraction <= 1:
            raise WrongRequest(f"--fraction: {fraction} is not in (0, 1]")
        attack = AttackKind(getattr(arguments, "attack", AttackKind.INTERCEPT_RESEND.value))
        fault = Fault(kind, arguments.id, _direction(arguments), fraction, attack)
        return _tell(arguments, _system(layout).faults.inject(fault))

    return run


def _lift(inverse: str) -> Command:
    def run(arguments: argparse.Namespace, layout: Layout) -> int:
        return _tell(arguments, _system(layout).faults.lift(inverse, arguments.id, _direction(arguments)))

    return run


def _flap(arguments: argparse.Namespace, layout: Layout) -> int:
    if not 1 <= arguments.times <= MAX_FLAPS:
        raise WrongRequest(f"--times: {arguments.times} is not in 1..{MAX_FLAPS}")
    if not 0.01 <= arguments.period <= 3600:
        raise WrongRequest(f"--period: {arguments.period} is not in 0.01..3600 s")
    faults, fault = _system(layout).faults, Fault(FaultKind.CUT, arguments.id)
    try:
        for _ in range(arguments.times):
            faults.inject(fault)
            time.sleep(arguments.period / 2)
            faults.lift("link up", arguments.id)
            time.sleep(arguments.period / 2)
    finally:
        faults.lift("link up", arguments.id)
    return _tell(arguments, Outcome((fault,), f"{arguments.id} has flapped {arguments.times} times and is up"))


def _direction(arguments: argparse.Namespace) -> Direction | None:
    value = getattr(arguments, "direction", None)
    return Direction(value) if value else None


def _tell(arguments: argparse.Namespace, outcome: Outcome) -> int:
    if arguments.json:
        print_json({"id": arguments.id, "now": outcome.note, "faults": [f.to_dict() for f in outcome.faults]})
    else:
        say(outcome.note)
    return 0


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    status, body = _system(layout).api("GET", "/v1/topology")
    if status != 200:
        raise_problem(status, body)
    fields = ("id", "a", "b", "a_interface", "b_interface", "class", "state", "capacity_mbps", "reserved_mbps")
    channels = [{field: channel[field] for field in fields} for channel in body["channels"]]
    if arguments.json:
        print_json(channels)
    else:
        print_table("Channels", fields, [tuple(channel.values()) for channel in channels])
    return 0
