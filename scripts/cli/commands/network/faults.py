"""``link``, ``site``, ``eavesdrop``, ``section``, ``process``: faults, each undone by its opposite."""

from __future__ import annotations

import argparse
import time

from kms.sources.qkd.modes import AttackKind
from scripts.cli.handlers import Handler, Handlers
from scripts.console.output import print_json, say
from scripts.errors import WrongRequest
from scripts.testbed.fault_injector import Outcome
from scripts.testbed.faults import Fault, FaultKind
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies.links import Direction

MAX_FLAPS = 10_000


def _system(layout: Layout) -> RunningSystem:
    return RunningSystem(running_record(layout), layout)


def _inject(kind: FaultKind) -> Handler:
    def run(arguments: argparse.Namespace, layout: Layout) -> int:
        fraction = getattr(arguments, "fraction", 1.0)
        if not 0 < fraction <= 1:
            raise WrongRequest(f"--fraction: {fraction} is not in (0, 1]")
        attack = AttackKind(getattr(arguments, "attack", AttackKind.INTERCEPT_RESEND.value))
        fault = Fault(kind, arguments.id, _direction(arguments), fraction, attack)
        return _tell(arguments, _system(layout).faults.inject(fault))

    return run


def _lift(inverse: str) -> Handler:
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


HANDLERS: Handlers = {
    "link down": _inject(FaultKind.CUT),
    "link up": _lift("link up"),
    "link blackhole": _inject(FaultKind.BLACKHOLE),
    "link flap": _flap,
    "site down": _inject(FaultKind.POWER_OFF),
    "site up": _lift("node up"),
    "section cut": _inject(FaultKind.CUT_SECTION),
    "section mend": _lift("section mend"),
    "fibre cut": _inject(FaultKind.CUT_FIBRE),
    "fibre mend": _lift("fibre mend"),
    "eavesdrop start": _inject(FaultKind.EAVESDROP),
    "eavesdrop stop": _lift("eavesdrop stop"),
    "process kill": _inject(FaultKind.KILL),
    "process restart": _lift("restart"),
}
