"""``bench NAME``: measurements with the machine and the versions beside them (contracts: "Benchmarks")."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.bench import common
from scripts.bench.failover import run as failover
from scripts.bench.failover import stp
from scripts.bench.peer_venv import SEQUENCE
from scripts.bench.provision import fill
from scripts.bench.provision import run as provision
from scripts.bench.scale import run as scale
from scripts.bench.tunnel import run as tunnel
from scripts.bench.tunnel import wires
from scripts.cli.configuration import add_config, configuration_of, configured_topology
from scripts.cli.topologies import TOPO_METAVAR
from scripts.console.output import print_json, print_table, say
from scripts.console.progress import Progress
from scripts.errors import DidNotHold
from scripts.files.results import make_results_folder
from scripts.measure.errors import DemoError
from scripts.measure.places import Places, places_in
from scripts.measure.slices import create_patiently, delete_slice
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.running_system import RunningSystem

USE_CASE_TOPOLOGY = "ukqntel"
RESULTS = REPOSITORY / "results" / "bench"


def add_parsers(commands: argparse._SubParsersAction[Any], common_options: argparse.ArgumentParser) -> None:
    bench = commands.add_parser("bench", help="benchmarks").add_subparsers(dest="bench", required=True, metavar="NAME")

    parser = bench.add_parser("provision", parents=[common_options], help="set-up and tear-down times of slices")
    parser.add_argument("--runs", type=_count, metavar="N", help="runs of each use case (default 100)")
    parser.add_argument(
        "--slices", type=_count, nargs="?", const=fill.MOST, metavar="N",
        help="instead: add slices until one does not fit, at most N",
    )  # fmt: skip
    _add_topo(parser, f"{USE_CASE_TOPOLOGY}; with --slices {fill.TOPOLOGY}")
    _add_out(parser, "provision")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="the API's TCP port (default 8080)")
    parser.set_defaults(run=_provision)

    parser = bench.add_parser(
        "failover", parents=[common_options], help="packets lost and outage per failure, by protection class"
    )
    parser.add_argument(
        "--runs", type=_count, metavar="N", help="failures of each protection class and detection (default 100)"
    )
    parser.add_argument("--slices", type=_count, metavar="N", help="slices hit by one cut (default 100)")
    parser.add_argument("--stp-runs", type=_count, metavar="N", help="runs of the spanning-tree baseline (default 1)")
    _add_topo(parser, failover.TOPOLOGY)
    _add_out(parser, "failover")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="the API's TCP port (default 8080)")
    parser.set_defaults(run=_failover)

    parser = bench.add_parser(
        "tunnel",
        parents=[common_options],
        help="the tunnel's throughput and latency, beside plain, kernel ESP, WireGuard and OpenVPN",
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help="rounds of each measurement (default 3)")
    parser.add_argument("--seconds", type=_count, metavar="N", help="duration of each TCP stream (default 3)")
    parser.add_argument(
        "--wires", nargs="+", choices=wires.KINDS, default=wires.KINDS, help="what the tunnels run over"
    )
    parser.add_argument(
        "--mtus", type=_count, nargs="+", metavar="N", help="MTUs of the wire, in bytes (default: 1500 9000)"
    )
    parser.add_argument(
        "--who", nargs="+", choices=tunnel.EVERYBODY, default=tunnel.EVERYBODY, help="tunnels to measure"
    )
    parser.add_argument("--wireguard-go-new", type=Path, metavar="PATH", help="a newer wireguard-go's binary")
    parser.add_argument("--no-rekeying", action="store_true", help="leave out the cost of rekeying")
    _add_out(parser, "tunnel")
    parser.set_defaults(run=_tunnel)

    parser = bench.add_parser("paths", parents=[common_options], help="path computation: exactness and speed")
    parser.add_argument("--sizes", type=_count, nargs="+", metavar="N", help="network sizes, in sites")
    parser.add_argument("--queries", type=_count, metavar="N", help="requests per size")
    _add_out(parser, "paths")
    parser.set_defaults(run=_paths)

    parser = bench.add_parser(
        "qkd", parents=[common_options], help="the QKD simulation: sifting, reconciliation, key rates over distance"
    )
    parser.add_argument("--bits", type=_count, metavar="N", help="bits to reconcile (default 10^8)")
    parser.add_argument("--no-peer", action="store_true", help="do not install and measure SeQUeNCe beside it")
    _add_out(parser, "qkd")
    parser.set_defaults(run=_qkd)

    parser = bench.add_parser("scale", parents=[common_options], help="what a network costs by its number of sites")
    parser.add_argument(
        "--sites", type=_count, nargs="+", metavar="N",
        help="numbers of sites (default: 5 24 48 100)",
    )  # fmt: skip
    parser.add_argument("--runs", type=_count, metavar="N", help="slices on each network (default 20)")
    _add_out(parser, "scale")
    parser.add_argument("--api-port", type=int, metavar="PORT", help="the API's TCP port (default 8080)")
    parser.set_defaults(run=_scale)

    parser = bench.add_parser("kms", parents=[common_options], help="keys per second over mutual TLS, and latencies")
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="duration for each mode and number of clients")
    parser.add_argument(
        "--apps-seconds", type=_seconds, metavar="S", help="duration with the applications that rekey every 3 s"
    )
    parser.add_argument("--applications", type=_count, metavar="N", help="applications that rekey every 3 s")
    parser.add_argument("--source", metavar="SOURCE", help="where the keys come from: dh, qra, qkd or like qkd+qra")
    _add_out(parser, "kms")
    parser.set_defaults(run=_kms)


def _provision(arguments: argparse.Namespace, layout: Layout) -> int:
    is_fill = arguments.slices is not None
    configuration = configuration_of(arguments, section="bench.provision")
    topology = configured_topology(configuration, arguments.topo or (fill.TOPOLOGY if is_fill else USE_CASE_TOPOLOGY))
    places = places_in(topology)
    folder = make_results_folder("--out", arguments.out)
    end_on_signals()
    with Runtime(topology, layout, RunOptions(configuration)) as runtime:
        with Progress(f"up {topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        system = RunningSystem(runtime.record, layout)
        try:
            if is_fill:
                report = _fill(system, arguments.slices, folder, places)
            else:
                report = _runs(system, configuration["bench.provision.runs"], folder)
        except DemoError as error:
            raise DidNotHold(str(error)) from error
    return _end(report, arguments.json, folder, failed=any(
        value > 0 for name, value in report["figures"].items() if name.endswith(".failures")
    ))  # fmt: skip


def _runs(system: RunningSystem, runs: int, folder: Path) -> dict[str, Any]:
    from scripts.bench import charts  # loads Matplotlib, which no other command waits for

    provision.wait_for_keys(system)
    surroundings = [f"datapath: {system.datapath}", common.load_note()]
    cases = provision.measure(system, runs)
    failures = provision.failure_notes([failure for case in cases for failure in case.failures])
    notes = [*provision.NOTES, *surroundings, *failures]
    report = common.report("provision", provision.figures(cases, runs), notes)
    charts.draw_histograms(cases, folder / "histograms.png")
    common.write_json(folder / "provision.json", {**report, "runs": provision.as_lists(cases)})
    return report


def _fill(system: RunningSystem, limit: int, folder: Path, places: Places) -> dict[str, Any]:
    from scripts.bench import charts

    provision.wait_for_keys(system)
    surroundings = [f"datapath: {system.datapath}", common.load_note()]
    # The KMS may just have started: what is measured begins when there are QKD keys.
    first = fill.small_slice(1, places)
    create_patiently(system, first)
    delete_slice(system, first["name"])
    series = fill.fill(system, limit)
    end = f"the next slice did not fit: {series.refusal}" if series.refusal else f"ended after {limit} slices, as asked"
    notes = [*fill.NOTES, end, *surroundings, *series.failures]
    report = common.report("provision", fill.figures(series), notes)
    charts.draw_fill(series, folder / "fill.png")
    common.write_json(folder / "fill.json", {**report, "added": fill.as_list(series)})
    return report


def _failover(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, section="bench.failover")
    effort = configuration.section("bench.failover")
    topology = configured_topology(configuration, arguments.topo or failover.TOPOLOGY)
    places_in(topology)  # refuses what the slices have no place on
    folder = make_results_folder("--out", arguments.out)
    end_on_signals()
    figures: dict[str, float] = {}
    notes = [*failover.NOTES, common.load_note()]
    try:
        with Runtime(topology, layout, RunOptions(configuration, bfd=True)) as runtime:
            with Progress(f"up {topology.name}", total=START_STEPS) as progress:
                runtime.start(progress.begin)
            system = RunningSystem(runtime.record, layout)
            notes.append(f"datapath: {system.datapath}")
            total = effort["runs"] * len(failover.CLASSES) * len(failover.DETECTIONS)
            with Progress("failures", total=total) as progress:
                results = failover.measure(system, effort["runs"], progress.advance)
            figures |= failover.figures(results)
            with Progress("slices for one cut", total=effort["slices"]) as progress:
                last_ms, hit = failover.hundred_slices(system, effort["slices"], progress.advance)
            figures |= {"hundred_slices.last_restored_ms": last_ms, "hundred_slices.hit": hit}
        with Progress("spanning tree", total=effort["stp_runs"]) as progress:
            outages = []
            for _ in range(effort["stp_runs"]):
                outages.append(stp.outage_ms(topology, folder / "ryu.log"))
                progress.advance()
        figures |= {"stp.outage_ms.p50": common.percentile(outages, 0.5), "stp.runs": len(outages)}
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    report = common.report("failover", figures, notes, ("ryu",))
    runs = {name: [asdict(run) for run in found] for name, found in results.items()}
    common.write_json(folder / "failover.json", {**report, "runs": runs})
    return _end(report, arguments.json, folder, failed=figures["1+1.cut.lost_packets.max"] > 0)


def _tunnel(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench import charts

    effort = configuration_of(arguments, section="bench.tunnel").section("bench.tunnel")
    folder = make_results_folder("--out", arguments.out)
    end_on_signals()
    plan = tunnel.Plan(
        wires=tuple(arguments.wires), mtus=tuple(effort["mtus"]), who=tuple(arguments.who), rounds=effort["rounds"],
        seconds=float(effort["seconds"]), wireguard_go_new=arguments.wireguard_go_new,
        with_rekeying=not arguments.no_rekeying,
    )  # fmt: skip
    notes = [*tunnel.NOTES, common.load_note()]
    layout.make()
    try:
        with Progress("bench tunnel") as progress:
            results = tunnel.run(plan, layout.state / "peers", progress.say)
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    report = common.report("tunnel", results.figures(), [*notes, *results.notes])
    report["versions"] |= results.versions
    common.write_json(folder / "tunnel.json", {**report, "values": results.values})
    panels: dict[str, dict[str, list[float]]] = {}
    for name, values in results.values.items():
        if name.endswith("_gbps") and ".tcp." in name:
            wire, _, who = name.partition(".tcp.")
            panels.setdefault(f"{wire.replace('.', ', MTU ')}: one TCP stream", {})[who.removesuffix("_gbps")] = values
    charts.draw_bars(panels, "Gbit/s", folder / "tcp.png")
    return _end(report, arguments.json, folder, failed=results.totals.get("rekey_100ms.lost_packets", 0) > 0)


def _paths(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench.pce import run as paths  # loads networkx

    effort = configuration_of(arguments, section="bench.paths").section("bench.paths")
    folder = make_results_folder("--out", arguments.out)
    with Progress("bench paths") as progress:
        report = paths.run(paths.Effort(sizes=tuple(effort["sizes"]), queries=effort["queries"]), progress.say)
    common.write_json(folder / "paths.json", report)
    figures = report["figures"]
    return _end(report, arguments.json, folder, failed=figures["oracle.equal"] != figures["oracle.instances"])


def _qkd(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench import charts
    from scripts.bench.qkd import run as qkd

    bits = configuration_of(arguments, section="bench.qkd")["bench.qkd.bits"]
    folder = make_results_folder("--out", arguments.out)
    end_on_signals()
    notes = [*qkd.NOTES, common.load_note()]
    python = None
    if arguments.no_peer:
        notes.append("SeQUeNCe was not measured: --no-peer")
    else:
        with Progress("SeQUeNCe") as progress:
            python = SEQUENCE.python(layout.state / "peers", progress.note)
    try:
        with Progress("sifting", total=len(qkd.PEER_KM) * (2 if python else 1)) as progress:
            ours, peers = [], []
            for km in qkd.PEER_KM:
                ours.append(qkd.sift(km))
                progress.advance()
                if python is not None:
                    peers.append(qkd.sift_with_sequence(python, km))
                    progress.advance()
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    with Progress("reconciliation", total=qkd.reconcile_blocks(bits)) as progress:
        reconciling = qkd.reconcile_many(bits, progress.advance)
    points = []
    with Progress("key rates over distance", total=len(qkd.DISTANCES_KM)) as progress:
        for km in qkd.DISTANCES_KM:
            points.append(qkd.rate_at(km))
            progress.advance()
    figures = {**qkd.figures(ours, peers, reconciling, points), **qkd.gys_figures()}
    report = common.report("qkd", figures, notes)
    if python is not None:
        report["versions"]["sequence"] = SEQUENCE.version
    charts.draw_rates(points, folder / "rates.png")
    common.write_json(folder / "qkd.json", {**report, "runs": qkd.as_lists(ours, peers, points)})
    return _end(report, arguments.json, folder, failed=reconciling.mismatched_keys > 0)


def _scale(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, section="bench.scale")
    numbers = tuple(dict.fromkeys(configuration["bench.scale.sites"]))
    folder = make_results_folder("--out", arguments.out)
    end_on_signals()
    notes = [*scale.NOTES, common.load_note()]
    effort = scale.Effort(configuration["bench.scale.runs"], configuration=configuration)
    sizes = []
    try:
        with Progress("bench scale", total=scale.STAGES * len(numbers)) as progress:
            for sites in numbers:
                sizes.append(scale.measure(sites, effort, layout, progress.begin))
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    figures = {name: value for size in sizes for name, value in size.figures().items()}
    report = common.report("scale", figures, notes, ("ryu",))
    common.write_json(folder / "scale.json", {**report, "runs": scale.as_list(sizes)})
    return _end(report, arguments.json, folder, failed=False)


def _kms(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench.kms import run as kms  # loads what the KMS is made of

    effort = configuration_of(arguments, section="bench.kms").section("bench.kms")
    folder = make_results_folder("--out", arguments.out)
    with Progress("bench kms") as progress:
        report = kms.run(kms.Effort(**effort), progress.note)
    common.write_json(folder / "kms.json", report)
    return _end(report, arguments.json, folder, failed=report["figures"]["failures"] > 0)


def _end(report: dict[str, Any], as_json: bool, folder: Path, failed: bool) -> int:
    if as_json:
        print_json(report)
    else:
        print_table(f"bench {report['bench']}", *common.table(report["figures"]))
        for note in report["notes"]:
            say(f"- {note}")
        say(f"results: {folder}")
    return 1 if failed else 0


def _add_topo(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--topo", metavar=TOPO_METAVAR, help=f"the network (default {default})")


def _add_out(parser: argparse.ArgumentParser, name: str) -> None:
    add_config(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS / name,
        metavar="DIR",
        help="where plots and raw figures go (default %(default)s)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("must lie above 0 and be no more than 3600")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
