"""``link``, ``site``, ``eavesdrop``, ``section``, ``process``: faults, each undone by its opposite."""

from __future__ import annotations

import argparse
import time
from typing import Any

from kms.sources.qkd.modes import AttackKind
from scripts.cli.handlers import Handler, Handlers
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.testbed.fault_injector import Outcome
from scripts.testbed.faults import FAULTS, Fault, FaultKind
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import running_record
from scripts.testbed.running_system import RunningSystem
from topologies.links import Direction, Impairment

MAX_FLAPS = 10_000
MAX_DELAY_MS = 10_000


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


def _impair(arguments: argparse.Namespace, layout: Layout) -> int:
    for option in ("loss", "delay", "jitter"):
        if getattr(arguments, option) < 0:
            raise WrongRequest(f"--{option}: {getattr(arguments, option):g} is less than nothing")
    if arguments.loss > 100:
        raise WrongRequest(f"--loss: {arguments.loss:g} is more than 100 %")
    if arguments.delay > MAX_DELAY_MS:
        raise WrongRequest(f"--delay: {arguments.delay:g} is more than {MAX_DELAY_MS} ms")
    if arguments.jitter > arguments.delay:
        raise WrongRequest(
            f"--jitter: {arguments.jitter:g} is more than --delay: a packet cannot leave before it comes"
        )
    if not (arguments.loss or arguments.delay):
        raise WrongRequest("--loss, --delay, --jitter: one is needed; `link up` ends what there is")
    how = Impairment(arguments.loss, arguments.delay, arguments.jitter)
    fault = Fault(FaultKind.IMPAIR, arguments.id, _direction(arguments), impairment=how)
    return _tell(arguments, _system(layout).faults.inject(fault))


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


def _process_list(arguments: argparse.Namespace, layout: Layout) -> int:
    record = running_record(layout)
    found = [
        {"name": name, "state": "up" if process.is_alive() else "down", "pid": process.pid}
        for name, process in record.processes.items()
    ]
    if arguments.json:
        print_json(found)
    else:
        print_table("Processes", ("name", "state", "process id"), [tuple(each.values()) for each in found])
    return 0


def _fault_list(arguments: argparse.Namespace, layout: Layout) -> int:
    found = _system(layout).faults.active()
    if arguments.json:
        print_json([_fault_document(fault) for fault in found])
    elif found:
        print_table("Faults", ("what", "on", "fault", "undone by"), [
            (FAULTS[fault.kind].element.value, fault.target, str(fault), f"{FAULTS[fault.kind].inverse} {fault.target}")
            for fault in found
        ])  # fmt: skip
    else:
        say("no faults")
    return 0


def _fault_clear(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.all == bool(arguments.targets):
        raise WrongRequest("NAME: name what to repair (`fault list` has what is broken), or --all")
    faults = _system(layout).faults
    broken = faults.active()
    unknown = [target for target in arguments.targets if target not in {fault.target for fault in broken}]
    if unknown:
        there = ", ".join(dict.fromkeys(fault.target for fault in broken)) or "nothing"
        raise WrongRequest(f"NAME: there is no fault on {unknown[0][:80]!r}; there are faults on {there}")
    lifted = [
        one
        for fault in reversed(broken)
        if arguments.all or fault.target in arguments.targets
        for one in faults.lift(FAULTS[fault.kind].inverse, fault.target, fault.direction).faults
    ]
    left = faults.active()
    if arguments.json:
        print_json({"lifted": [_fault_document(fault) for fault in lifted],
                    "left": [_fault_document(fault) for fault in left]})  # fmt: skip
    else:
        say("lifted: " + (", ".join(map(str, lifted)) or "nothing"))
        if left:
            say("still there: " + ", ".join(map(str, left)))
    return 0


def _fault_document(fault: Fault) -> dict[str, Any]:
    description = FAULTS[fault.kind]
    return {**fault.to_dict(), "element": description.element.value, "state": description.state,
            "undone_by": description.inverse}  # fmt: skip


HANDLERS: Handlers = {
    "process list": _process_list,
    "fault list": _fault_list,
    "fault clear": _fault_clear,
    "link down": _inject(FaultKind.CUT),
    "link up": _lift("link up"),
    "link blackhole": _inject(FaultKind.BLACKHOLE),
    "link impair": _impair,
    "link flap": _flap,
    "site down": _inject(FaultKind.POWER_OFF),
    "site up": _lift("node up"),
    "section cut": _inject(FaultKind.CUT_SECTION),
    "section mend": _lift("section mend"),
    "risk down": _inject(FaultKind.CUT_RISK),
    "risk up": _lift("risk up"),
    "wavelength down": _inject(FaultKind.CUT_WAVELENGTH),
    "wavelength up": _lift("wavelength up"),
    "eavesdrop start": _inject(FaultKind.EAVESDROP),
    "eavesdrop stop": _lift("eavesdrop stop"),
    "process kill": _inject(FaultKind.KILL),
    "process restart": _lift("restart"),
}
