"""``experiment``: scripted failures under traffic, with results, plots and a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from scripts.cli.configuration import configuration_of, configured_topology
from scripts.cli.extensions import chosen_in_force, in_force, named_in_results
from scripts.cli.handlers import Handlers
from scripts.configuration.values import Configuration
from scripts.console.output import print_json, print_table, say
from scripts.console.progress import Progress
from scripts.errors import WrongRequest
from scripts.experiments.chaos.run import ChaosResult, run_chaos
from scripts.experiments.chaos.steps import Trouble
from scripts.experiments.scripted.parts import PartNames, Parts, require_impairments
from scripts.experiments.scripted.run import OVERHEAD_S, Arm, RunSettings, run_experiment
from scripts.experiments.scripted.scenario import (
    COMMANDS,
    SHIPPED,
    Scenario,
    Speed,
    find_scenario,
    read_scenario,
    shipped_names,
)
from scripts.extensions.naming import BUILTIN
from scripts.extensions.protocols import Kind
from scripts.files.results import make_results_folder
from scripts.measure.places import places_in
from scripts.report.provenance import Extension, provenance
from scripts.testbed.extensions import OF_CONTROLLER, OF_NETWORK, OF_SCENARIO, InForce
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.life.run import START_STEPS, RunOptions, Runtime
from scripts.testbed.paths import REPOSITORY, Layout
from scripts.testbed.running_system import RunningSystem
from topologies import tcx
from topologies.datapath import has_netem

CHAOS, CHAOS_TOPOLOGY = "chaos", "metro-ring"
CHAOS_SEED = 1
KINDS = {trouble.value: trouble for trouble in Trouble}


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    files = [read_scenario(SHIPPED / f"{name}.yaml").file for name in shipped_names()]
    if arguments.json:
        print_json([{"name": f.name, "title": f.title, "topology": f.topology, "look_for": f.look_for} for f in files])
    else:
        print_table("Experiments", ("name", "topology", "what it does"), [(f.name, f.topology, f.title) for f in files])
    return 0


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    if arguments.name == CHAOS:
        return _run_chaos(arguments, layout)
    only_chaos = (arguments.faults, arguments.kinds, arguments.mutation)
    if any(given is not None for given in only_chaos) or arguments.no_bfd:
        raise WrongRequest("--faults, --kinds, --mutation, --no-bfd: only chaos draws its own faults")
    configuration = _configuration(arguments)
    topology = None if arguments.topo is None else configured_topology(configuration, arguments.topo)
    speed = Speed(configuration["network.scale"], configuration["network.shaped"])
    extensions = in_force(configuration, Kind, is_audited=not arguments.unsafe_no_audit)
    parts = PartNames.of(extensions, COMMANDS)
    scenario = read_scenario(find_scenario(arguments.name), topology, speed, parts)
    against = _against(arguments, extensions)
    all_of_them = (*extensions.identities, *(() if against is None else against.identities))
    settings = run_settings(configuration, scenario, arguments.time_scale, named_in_results(all_of_them))
    if not settings.time_scale > 0:
        raise WrongRequest(f"--time-scale: {settings.time_scale} is not positive")
    folder = _results_folder(arguments.out, scenario.name)
    end_on_signals()
    turns = settings.repetitions * (1 if against is None else 2)
    expected_s = turns * (scenario.file.duration_s * settings.time_scale + OVERHEAD_S)
    used = [step.do for step in scenario.file.timeline]
    require_impairments(scenario.topology, extensions, used, can_impair=has_netem() or tcx.is_supported())
    options = RunOptions(configuration, bfd=scenario.file.bfd, extensions=extensions)
    with Runtime(scenario.topology, layout, options) as runtime:
        with Progress(f"up {scenario.topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        with Progress(scenario.name, expected_s=expected_s) as progress:
            system = RunningSystem(runtime.record, layout)
            sides = () if against is None else (extensions, against)
            arms = [
                Arm(side.name, partial(runtime.change_controller, extensions=side.controller_part())) for side in sides
            ]
            with Parts(system, extensions) as parts_at_work:
                result = run_experiment(system, scenario, settings, folder, progress, arms, parts_at_work)
    document = result.to_dict()
    if arguments.json:
        print_json(document)
    else:
        for repetition in result.results:
            for finding in repetition.findings:
                say(f"{repetition.number}: {finding}")
        for violation in result.violations:
            say(f"VIOLATION in repetition {violation['repetition']}: {violation['what']}")
        if result.arms:
            both = [result.arm(arm) for arm in result.arms]
            print_table("Side by side", ("figure", *result.arms), [(n, *(arm[n] for arm in both)) for n in both[0]])
        say(f"{len(result.results)} repetitions, {len(result.violations)} violations; report: {folder / 'report.html'}")
    return 1 if result.violations else 0


def _against(arguments: argparse.Namespace, extensions: InForce) -> InForce | None:
    """The second arm; None where there is none. Raises WrongRequest."""
    if arguments.against is None:
        return None
    if not extensions.of(*OF_CONTROLLER):
        raise WrongRequest("--against: what is compared is named by --use pce=... or --use healing=...")
    named = [] if arguments.against == BUILTIN else [arguments.against]
    chosen = chosen_in_force(named, OF_CONTROLLER, "--against")
    against = replace(extensions, chosen=(*chosen.chosen, *extensions.of(Kind.SOURCE, Kind.SUITE, *OF_SCENARIO)))
    if against.name == extensions.name:
        raise WrongRequest(f"--against: {against.name} is what --use names")
    return against


def run_settings(
    configuration: Configuration,
    scenario: Scenario,
    time_scale: float = 1.0,
    extensions: Sequence[Extension] = (),
) -> RunSettings:
    """What is in force where the configuration says so, else what the scenario says."""
    seed, repetitions = configuration["experiment.seed"], configuration["experiment.repetitions"]
    seed = scenario.file.seed if seed is None else seed
    return RunSettings(
        seed=seed,
        repetitions=scenario.file.repetitions if repetitions is None else repetitions,
        provenance=provenance(configuration, seed, extensions),
        time_scale=time_scale,
    )


def _run_chaos(arguments: argparse.Namespace, layout: Layout) -> int:
    configuration = _configuration(arguments)
    faults, seed = configuration["experiment.faults"], configuration["experiment.seed"]
    seed = CHAOS_SEED if seed is None else seed
    if arguments.repetitions not in (None, 1):
        raise WrongRequest("--repetitions: chaos is run once for each seed")
    names = KINDS if arguments.kinds is None else arguments.kinds.split(",")
    for name in names:
        if name not in KINDS:
            raise WrongRequest(f"--kinds: {name!r} is none of {', '.join(KINDS)}")
    kinds = {KINDS[name] for name in names}
    topology = configured_topology(configuration, arguments.topo or CHAOS_TOPOLOGY)
    places_in(topology)  # refuses what the slices have no place on
    if arguments.against is not None:
        raise WrongRequest("--against: chaos has one arm")
    extensions = in_force(configuration, OF_NETWORK, is_audited=not arguments.unsafe_no_audit)
    named = named_in_results(extensions.identities)
    folder = _results_folder(arguments.out, CHAOS)
    end_on_signals()
    result = ChaosResult(seed, faults, provenance(configuration, seed, named), mutation=arguments.mutation)
    bfd, mutation = not arguments.no_bfd, arguments.mutation
    with Runtime(topology, layout, RunOptions(configuration, bfd, mutation, extensions)) as runtime:
        with Progress(f"up {topology.name}", total=START_STEPS) as progress:
            runtime.start(progress.begin)
        with Progress(CHAOS) as progress:
            run_chaos(RunningSystem(runtime.record, layout), kinds, result, folder, progress)
    if arguments.json:
        print_json(result.to_dict())
    else:
        for violation in result.violations:
            say(f"VIOLATION at step {violation['step']}: {violation['what']}")
        say(f"{faults} faults, {result.checks} checks, {len(result.violations)} violations; {folder / 'results.json'}")
    return 1 if result.violations else 0


def _configuration(arguments: argparse.Namespace) -> Configuration:
    return configuration_of(arguments, section="experiment")


def _results_folder(out: Path | None, name: str) -> Path:
    return make_results_folder("--out", out if out is not None else REPOSITORY / "results" / "experiments" / name)


HANDLERS: Handlers = {
    "experiment list": _list,
    "experiment run": _run,
}
