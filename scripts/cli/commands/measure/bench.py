"""``bench NAME``: measurements with the machine and the versions beside them (contracts: "Benchmarks")."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from scripts.bench import common
from scripts.bench.cards import run as cards
from scripts.bench.failover import run as failover
from scripts.bench.failover import stp
from scripts.bench.peer_venv import SEQUENCE
from scripts.bench.provision import fill, modes
from scripts.bench.provision import run as provision
from scripts.bench.scale import run as scale
from scripts.bench.tunnel import run as tunnel
from scripts.cli.commands.measure.ending import RESULTS, end
from scripts.cli.commands.measure.profiles import compare_profiles
from scripts.cli.configuration import configuration_of, configured_topology
from scripts.cli.extensions import chosen_uses, named_in_results
from scripts.cli.handlers import Handlers
from scripts.configuration.values import Configuration
from scripts.console.progress import Progress
from scripts.errors import DidNotHold, WrongRequest
from scripts.extensions.errors import ExtensionError
from scripts.extensions.naming import Use
from scripts.extensions.protocols import Kind
from scripts.files.results import make_results_folder
from scripts.measure.errors import DemoError, MeasurementError
from scripts.measure.places import Places, places_in
from scripts.measure.slices import create_patiently, delete_slice
from scripts.report.provenance import Provenance, provenance
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.component_files import provisioning_part
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.paths import Layout
from scripts.testbed.running_system import RunningSystem
from topologies.files import parse_document
from topologies.spec import EncryptionMode

USE_CASE_TOPOLOGY = "ukqntel"


def _provision(arguments: argparse.Namespace, layout: Layout) -> int:
    is_fill = arguments.slices is not None
    if arguments.both_modes:
        if is_fill:
            raise WrongRequest("--both-modes: goes with runs of the use cases, not with --slices")
        arguments.provisioning = "sequential"  # devices and their layer are there throughout
    configuration = configuration_of(arguments, section="bench.provision")
    origin = provenance(configuration)
    topology = configured_topology(configuration, arguments.topo or (fill.TOPOLOGY if is_fill else USE_CASE_TOPOLOGY))
    places = places_in(topology)
    folder = make_results_folder("--out", arguments.out or RESULTS / "provision")
    end_on_signals()
    with Runtime(topology, layout, RunOptions(configuration)) as runtime:
        with Progress(f"up {topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        system = RunningSystem(runtime.record, layout)
        try:
            if is_fill:
                report = _fill(system, arguments.slices, folder, places, origin)
            elif arguments.both_modes:
                switch = partial(_start_in_mode, runtime, configuration)
                report = _in_turns(system, configuration["bench.provision.runs"], folder, origin, switch)
            else:
                report = _runs(system, configuration["bench.provision.runs"], folder, origin)
        except DemoError as error:
            raise DidNotHold(str(error)) from error
    return end(report, arguments.json, folder, failed=any(
        value > 0 for name, value in report["figures"].items() if name.endswith(".failures")
    ))  # fmt: skip


def _runs(system: RunningSystem, runs: int, folder: Path, origin: Provenance) -> dict[str, Any]:
    from scripts.bench import charts  # loads Matplotlib, which no other command waits for

    provision.wait_for_keys(system)
    surroundings = [f"datapath: {system.datapath}", common.load_note()]
    cases = provision.measure(system, runs)
    failures = provision.failure_notes([failure for case in cases for failure in case.failures])
    notes = [*provision.NOTES, *surroundings, *failures]
    report = common.report("provision", provision.figures(cases, runs), notes)
    report["provenance"] = origin.to_dict()
    charts.draw_histograms(cases, folder / "histograms.png")
    common.write_json(folder / "provision.json", {**report, "runs": provision.as_lists(cases)})
    return report


def _start_in_mode(runtime: Runtime, configuration: Configuration, mode: str) -> None:
    """The controller anew; all else of its provisioning as it was."""
    runtime.change_controller(provisioning={**provisioning_part(runtime.layout, configuration), "mode": mode})


def _in_turns(
    system: RunningSystem, runs: int, folder: Path, origin: Provenance, switch: Callable[[str], None]
) -> dict[str, Any]:
    from scripts.bench import charts

    found = modes.measure(system, runs, switch)
    failures = provision.failure_notes([failure for case in found.cases for failure in case.failures])
    notes = [*modes.NOTES, *provision.NOTES, f"datapath: {system.datapath}", common.load_note(), *failures]
    report = common.report("provision", modes.figures(found, runs), notes)
    report["provenance"] = origin.to_dict()
    charts.draw_histograms(found.cases, folder / "modes.png")
    document = {**report, "runs": provision.as_lists(found.cases), "traces": found.traces}
    common.write_json(folder / "modes.json", document)
    return report


def _fill(system: RunningSystem, limit: int, folder: Path, places: Places, origin: Provenance) -> dict[str, Any]:
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
    report["provenance"] = origin.to_dict()
    charts.draw_fill(series, folder / "fill.png")
    common.write_json(folder / "fill.json", {**report, "added": fill.as_list(series)})
    return report


def _failover(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, section="bench.failover")
    origin, effort = provenance(configuration), configuration.section("bench.failover")
    topology = configured_topology(configuration, arguments.topo or failover.TOPOLOGY)
    places_in(topology)  # refuses what the slices have no place on
    folder = make_results_folder("--out", arguments.out or RESULTS / "failover")
    end_on_signals()
    figures: dict[str, float] = {}
    notes = [*failover.NOTES, *failover.left_out(topology), common.load_note()]
    try:
        with Runtime(topology, layout, RunOptions(configuration, bfd=True)) as runtime:
            with Progress(f"up {topology.name}", total=START_STEPS) as progress:
                runtime.start(progress.begin)
            system = RunningSystem(runtime.record, layout)
            notes.append(f"datapath: {system.datapath}")
            total = effort["runs"] * len(failover.classes_on(topology)) * len(failover.DETECTIONS)
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
    report["provenance"] = origin.to_dict()
    runs = {name: [asdict(run) for run in found] for name, found in results.items()}
    common.write_json(folder / "failover.json", {**report, "runs": runs})
    return end(report, arguments.json, folder, failed=figures.get("1+1.cut.lost_packets.max", 0) > 0)


def _tunnel(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench import charts

    configuration = configuration_of(arguments, section="bench.tunnel")
    origin, effort = provenance(configuration), configuration.section("bench.tunnel")
    folder = make_results_folder("--out", arguments.out or RESULTS / "tunnel")
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
    report["provenance"] = origin.to_dict()
    report["versions"] |= results.versions
    common.write_json(folder / "tunnel.json", {**report, "values": results.values})
    panels: dict[str, dict[str, list[float]]] = {}
    for name, values in results.values.items():
        if name.endswith("_gbps") and ".tcp." in name:
            wire, _, who = name.partition(".tcp.")
            panels.setdefault(f"{wire.replace('.', ', MTU ')}: one TCP stream", {})[who.removesuffix("_gbps")] = values
    charts.draw_bars(panels, "Gbit/s", folder / "tcp.png")
    return end(report, arguments.json, folder, failed=results.totals.get("rekey_100ms.lost_packets", 0) > 0)


def _cards(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench import charts

    configuration = configuration_of(arguments, {"encryption.mode": EncryptionMode.CHANNEL.value}, "bench.cards")
    origin, effort = provenance(configuration), configuration.section("bench.cards")
    folder = make_results_folder("--out", arguments.out or RESULTS / "cards")
    topology = parse_document(cards.document(), "bench cards", cards.MBPS_PER_GBPS, shaped=False)
    end_on_signals()
    try:
        with Runtime(topology, layout, RunOptions(configuration)) as runtime:
            with Progress(f"up {topology.name}", total=START_STEPS) as progress:
                runtime.start(progress.begin)
            system = RunningSystem(runtime.record, layout)
            surroundings = [f"datapath: {system.datapath}", common.load_note()]
            with Progress("streams", total=2 * effort["rounds"]) as progress:
                results = cards.measure(system, effort["rounds"], effort["seconds"], progress.advance)
    except (DemoError, MeasurementError) as error:
        raise DidNotHold(str(error)) from error
    report = common.report("cards", results.figures(), [*cards.NOTES, *surroundings])
    report["provenance"] = origin.to_dict()
    common.write_json(folder / "cards.json", {**report, "values": cards.as_lists(results)})
    panel = {"three wavelengths, one TCP stream": results.mbps}
    charts.draw_bars(panel, "Mbit/s", folder / "cards.png")
    return end(report, arguments.json, folder, failed=results.lost > 0)


def _paths(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench.pce import run as paths  # loads networkx

    uses = chosen_uses(arguments.use, (Kind.PCE,))
    configuration = configuration_of(arguments, section="bench.paths")
    origin, effort = provenance(configuration), configuration.section("bench.paths")
    folder = make_results_folder("--out", arguments.out or RESULTS / "paths")
    if arguments.profiles:
        return compare_profiles(configuration, arguments.seeds, folder, as_json=arguments.json)
    if uses:
        return _compared_paths(uses, configuration, arguments, folder)
    with Progress("bench paths") as progress:
        report = paths.run(paths.Effort(sizes=tuple(effort["sizes"]), queries=effort["queries"]), progress.say)
    report["provenance"] = origin.to_dict()
    common.write_json(folder / "paths.json", report)
    figures = report["figures"]
    return end(report, arguments.json, folder, failed=figures["oracle.equal"] != figures["oracle.instances"])


def _compared_paths(
    uses: Sequence[Use], configuration: Configuration, arguments: argparse.Namespace, folder: Path
) -> int:
    """Extensions beside the builtin on the same instances, instead of the whole bench."""
    from scripts.bench.pce import comparison

    figures: dict[str, float] = {}
    notes: list[str] = []
    identities = []
    with Progress("bench paths") as progress:
        for use in uses:
            try:
                found, told, identity = comparison.compare(use, arguments.instances, progress.say)
            except ExtensionError as error:
                raise WrongRequest(f"--use: {use}: {error.fault.value}: {error}") from error
            figures |= found
            notes += [note for note in told if note not in notes]
            identities.append(identity)
    report = common.report("paths", figures, notes)
    report["provenance"] = provenance(configuration, extensions=named_in_results(identities)).to_dict()
    common.write_json(folder / "use.json", report)
    is_wrong = any(value > 0 for name, value in figures.items() if name.endswith((".refused", ".failed")))
    return end(report, arguments.json, folder, failed=is_wrong)


def _qkd(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench import charts
    from scripts.bench.qkd import run as qkd

    configuration = configuration_of(arguments, section="bench.qkd")
    origin, bits = provenance(configuration), configuration["bench.qkd.bits"]
    folder = make_results_folder("--out", arguments.out or RESULTS / "qkd")
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
    report["provenance"] = origin.to_dict()
    if python is not None:
        report["versions"]["sequence"] = SEQUENCE.version
    charts.draw_rates(points, folder / "rates.png")
    common.write_json(folder / "qkd.json", {**report, "runs": qkd.as_lists(ours, peers, points)})
    return end(report, arguments.json, folder, failed=reconciling.mismatched_keys > 0)


def _scale(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = configuration_of(arguments, section="bench.scale")
    origin, numbers = provenance(configuration), tuple(dict.fromkeys(configuration["bench.scale.sites"]))
    folder = make_results_folder("--out", arguments.out or RESULTS / "scale")
    end_on_signals()
    notes = [*scale.NOTES, common.load_note()]
    effort = scale.Effort(configuration["bench.scale.runs"], configuration=configuration, slowness=arguments.slowness)
    sizes = []
    try:
        with Progress("bench scale", total=scale.STAGES * len(numbers)) as progress:
            for sites in numbers:
                sizes.append(scale.measure(sites, effort, layout, progress.begin))
    except DemoError as error:
        raise DidNotHold(str(error)) from error
    figures = {name: value for size in sizes for name, value in size.figures().items()}
    report = common.report("scale", figures, notes, ("ryu",))
    report["provenance"] = origin.to_dict()
    common.write_json(folder / "scale.json", {**report, "runs": scale.as_list(sizes)})
    return end(report, arguments.json, folder, failed=False)


def _kms(arguments: argparse.Namespace, layout: Layout) -> int:
    from scripts.bench.kms import run as kms  # loads what the KMS is made of

    configuration = configuration_of(arguments, section="bench.kms")
    origin, effort = provenance(configuration), configuration.section("bench.kms")
    folder = make_results_folder("--out", arguments.out or RESULTS / "kms")
    with Progress("bench kms") as progress:
        report = kms.run(kms.Effort(**effort), progress.note)
    report["provenance"] = origin.to_dict()
    common.write_json(folder / "kms.json", report)
    return end(report, arguments.json, folder, failed=report["figures"]["failures"] > 0)


HANDLERS: Handlers = {
    "bench provision": _provision,
    "bench failover": _failover,
    "bench tunnel": _tunnel,
    "bench cards": _cards,
    "bench paths": _paths,
    "bench qkd": _qkd,
    "bench scale": _scale,
    "bench kms": _kms,
}
