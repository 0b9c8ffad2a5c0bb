"""``qslice test --long``: fifty connections on one host, a key every 3 s, channels that fail and come back.

After the first two minutes no process may grow by more than 5 %, have a thread more, or more than 8 descriptors more:
so many are connections kept alive. No tunnel may take a packet for another's, or lose over 5 % after a change of keys.
How fast anything goes is not judged: other programs of the machine have a say in it.

Exit status: 0 it held, 1 it did not, 2 the request was wrong, 3 the machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.checks.soak import load
from scripts.checks.soak.growth import ALLOWED_GROWTH, LEAST_PARTS, Growth, Sample, growth
from scripts.console.output import tell_early_end
from scripts.console.progress import Progress
from scripts.console.streams import INTERRUPTED
from scripts.errors import CommandError, DidNotHold
from scripts.files.results import make_results_folder, write_result
from scripts.measure.errors import DemoError
from scripts.measure.polling import poll
from scripts.measure.process_usage import Usage, usage_of
from scripts.report.line_chart import draw_lines
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.running_system import RunningSystem
from topologies.catalog import load as load_topology

RESULTS = REPOSITORY / "results" / "soak"
MINUTES, WARM_UP_MINUTES, CONNECTIONS = 30.0, 2.0, 50
# Of the keys and echo replies that are due: below, there was no load. How many come in time is the machine's matter.
LEAST_SHARE = 0.1
MOST_LATE = 0.05  # of the packets in tunnels; 2 % were where 25 programs waited for each processor
EVERY_S = 5.0
LEAST_S = (LEAST_PARTS + 1) * EVERY_S  # after the warm-up: the first sample there may be late
TICK_S = 0.5
UP_S = 60.0
SUPERVISOR = "supervisor"
STALLED = ("kms", "controller", f"tunnel-{load.HOST}", *(f"tunnel-{host}" for host in load.OTHER_HOSTS))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="qslice test --long", description=__doc__.split("\n\n")[1])
    parser.add_argument("--minutes", type=_minutes, default=MINUTES, metavar="M", help="how long (default: 30)")
    parser.add_argument(
        "--warm-up-minutes", type=_minutes, default=WARM_UP_MINUTES, metavar="M",
        help="of them those in which processes may still grow (default: 2)",
    )  # fmt: skip
    parser.add_argument("--connections", type=int, default=CONNECTIONS, metavar="N", help="on one host (default: 50)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=f"default: {RESULTS}")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(argv)
    if 60 * (options.minutes - options.warm_up_minutes) < LEAST_S or options.connections < 1:
        parser.error(f"--minutes must be {LEAST_S:g} s more than --warm-up-minutes, --connections at least 1")
    end_on_signals()
    try:
        report = _soak(options)
    except CommandError as error:
        return tell_early_end("qslice test", str(error), error.exit_status, options.json)
    except KeyboardInterrupt:
        return tell_early_end("qslice test", "interrupted; the network is gone", INTERRUPTED)
    if options.json:
        print(json.dumps(report, indent=2))
    for fault in report["faults"]:
        print(f"== soak: {fault}", file=sys.stderr)
    print(f"== soak: {'held' if report['ok'] else 'did not hold'}; {options.out}", file=sys.stderr)
    return 0 if report["ok"] else 1


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes < 10_000:
        raise argparse.ArgumentTypeError("more than 0 and less than 10000")
    return minutes


def _soak(options: argparse.Namespace) -> dict[str, Any]:
    folder, layout = make_results_folder("--out", options.out), Layout()
    wanted = load.requests(options.connections)
    with Runtime(load_topology(load.TOPOLOGY), layout, RunOptions()) as runtime:
        with Progress(f"up {load.TOPOLOGY}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        system = RunningSystem(runtime.record, layout)
        processes = {SUPERVISOR: runtime.record.supervisor.pid}
        processes |= {name: process.pid for name, process in runtime.record.processes.items()}
        try:
            with Progress("slices", total=len(wanted)) as progress:
                connections = load.create(system, wanted, progress.advance)
            with load.Traffic(system, [c for c in connections if c.is_encrypted]) as traffic:
                samples, cuts = _watch(system, wanted, processes, 60 * options.minutes)
                carried = traffic.stop()
            faults = _missing(system, len(wanted) * load.ON_THE_HOST, 60 * options.minutes, carried)
            stats = {host: system.tunnel_stats(host) for host in system.topology.site_names}
            faults += lost_in_tunnels(stats, 2 * carried.sent)
        except DemoError as error:
            raise DidNotHold(str(error)) from error
    grown = growth(samples, 60 * options.warm_up_minutes)
    faults = [fault for each in grown for fault in each.faults()] + faults
    report = _report(options, samples, grown, load.Done(cuts, carried), faults)
    write_result(folder / "soak.json", json.dumps(report, indent=1))
    write_result(folder / "soak.svg", _draw(samples, grown))
    return report


def _watch(
    system: RunningSystem, wanted: Sequence[dict[str, Any]], processes: dict[str, int], seconds: float
) -> tuple[list[Sample], int]:
    """Samples, and how often a channel was cut."""
    flapping, stalls = load.Flapping(system, wanted), load.Stalls(processes[name] for name in STALLED)
    samples: list[Sample] = []
    start = time.monotonic()
    try:
        with Progress("soak", total=round(seconds / EVERY_S)) as progress:
            while (now := time.monotonic() - start) < seconds:
                if now >= len(samples) * EVERY_S:
                    samples.append(Sample(round(now, 1), _usage(processes)))
                    progress.advance()
                flapping.go_on()
                stalls.go_on()
                time.sleep(TICK_S)
    finally:
        stalls.end()
        with suppress(DemoError):
            flapping.mend()
    return samples, flapping.cuts


def _usage(processes: Mapping[str, int]) -> dict[str, Usage]:
    found = {}
    for name, pid in processes.items():
        try:
            found[name] = usage_of(pid)
        except ProcessLookupError as error:
            raise DidNotHold(f"{name} (process {pid}) has ended") from error
    return found


def lost_in_tunnels(stats: Mapping[str, Mapping[str, Mapping[str, Any]]], sent: int) -> list[str]:
    """What tunnels have lost of so many packets, by each host's connections' counters; what the network lost is not in
    it. A few of those that came late are no fault: so is a process that waits for a processor for seconds.
    """
    lost: Counter[str] = Counter()
    for connections in stats.values():
        for counters in connections.values():
            lost.update({name: int(counters.get(name, 0)) for name in (*load.WRONG, *load.LATE)})
    late = sum(lost[name] for name in load.LATE)
    bad = [name for name in load.WRONG if lost[name]] + (list(load.LATE) if late > MOST_LATE * sent else [])
    return [f"tunnels have lost {lost[name]} of {sent} packets ({name})" for name in bad if lost[name]]


def _missing(system: RunningSystem, connections: int, seconds: float, carried: load.Carried) -> list[str]:
    """What of the load was not there: a network that carries nothing does not grow."""

    def up() -> list[dict[str, Any]]:
        return [stats for stats in system.tunnel_stats(load.HOST).values() if stats["state"] == "up"]

    poll(lambda: len(up()) >= connections, UP_S)
    found = up()
    faults = [] if len(found) >= connections else [f"{len(found)} of {connections} connections are up on {load.HOST}"]
    keys, due = sum(stats["rekeys"] for stats in found), connections * seconds / load.REKEY_S
    if keys < LEAST_SHARE * due:
        faults.append(f"{keys} keys came into use on {load.HOST}, and {due:.0f} were due")
    if carried.answered <= LEAST_SHARE * carried.sent:
        faults.append(f"{carried.answered} of {carried.sent} echo requests were answered")
    return faults


def _report(
    options: argparse.Namespace,
    samples: Sequence[Sample],
    grown: Sequence[Growth],
    done: load.Done,
    faults: Sequence[str],
) -> dict[str, Any]:
    return {
        "ok": not faults,
        "faults": list(faults),
        "minutes": options.minutes,
        "connections": options.connections,
        "cuts": done.cuts,
        "echo_requests": asdict(done.carried),
        "processes": {each.name: {**asdict(each), "ratio": each.ratio} for each in grown},
        "samples": [{"at_s": s.at_s, **{name: asdict(usage) for name, usage in s.usage.items()}} for s in samples],
    }


def _draw(samples: Sequence[Sample], grown: Sequence[Growth]) -> str:
    """Memory of each process, in percent of what it was after the warm-up."""
    lines = {
        f"{each.name} {each.memory_kb[1] / 1024:.0f} MB": [
            (sample.at_s / 60, 100 * sample.usage[each.name].memory_kb / each.memory_kb[0]) for sample in samples
        ]
        for each in grown
    }
    title = "Memory of each process, in percent of what it was after the warm-up"
    return draw_lines(title, "minutes", "%", lines, limit=100 * (1 + ALLOWED_GROWTH))
