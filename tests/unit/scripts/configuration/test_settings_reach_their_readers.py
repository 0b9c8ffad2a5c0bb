"""Every setting changes what it says, in what the component that reads it parses."""

from __future__ import annotations

import argparse
import json
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from controller.schema.config import ControllerConfig, load_config
from kms.config import KmsConfig, parse_config
from kms.tunnel.config import AgentConfig, load_agent_config
from scripts.bench.kms.run import Effort as KmsEffort
from scripts.bench.pce.run import Effort as PathsEffort
from scripts.bench.scale.run import Effort as ScaleEffort
from scripts.bench.tunnel.run import Plan
from scripts.cli.commands.measure.experiment import run_settings
from scripts.cli.configuration import configuration_of, configured_topology, run_options
from scripts.cli.grammar.parser import parse as parsed_words
from scripts.cli.grammar.tree import leaves
from scripts.configuration.document import parse_file
from scripts.configuration.reference import OF_A_RUN
from scripts.configuration.setting import Reader
from scripts.configuration.sources import read_configuration
from scripts.configuration.table import BY_NAME, SETTINGS
from scripts.configuration.values import DEFAULTS, Configuration, Entry, Origin, Source
from scripts.errors import WrongRequest
from scripts.experiments.scripted.scenario import Speed, find_scenario, read_scenario
from scripts.testbed.life.component_files import agent_file, controller_file, kms_file
from scripts.testbed.life.detached import _order, read_order
from scripts.testbed.paths import Layout
from tests.support.other_values import OTHER_VALUES
from topologies.catalog import load
from topologies.spec import EncryptionMode, Topology

OF_COMPONENTS = (Reader.CONTROLLER, Reader.KMS, Reader.AGENTS)


def having(name: str, value: Any) -> Configuration:
    return DEFAULTS.with_entries({name: Entry(value, Origin(Source.FILE, "f:1"))})


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load("ukqntel")


def parsed(configuration: Configuration, topology: Topology, folder: Path) -> dict[str, Any]:
    """What each component makes of the file that a run writes for it, by the first part of the settings' names."""
    layout = Layout(folder / "state", folder / "run")
    controller, agent = folder / "controller.json", folder / "agent.json"
    controller.write_text(json.dumps(controller_file(topology, layout, configuration)))
    agent.write_text(json.dumps(agent_file(topology, layout, configuration, "cell1")))
    config = load_config(controller)
    return {
        "controller": config, "api": config.api, "openflow": config.openflow, "tunnel": load_agent_config(agent),
        "policy": config.policy, "latency": config.latency,
        "kms": parse_config(json.dumps(kms_file(topology, layout, configuration))),
    }  # fmt: skip


def seen(components: dict[str, BaseModel], name: str) -> Any:
    section, *parts = name.split(".")
    value: Any = components[section]
    for part in parts:
        value = getattr(value, part)
    if isinstance(value, dict):
        return {key: each.model_dump(exclude_unset=True) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def test_there_is_another_value_for_every_setting() -> None:
    assert set(OTHER_VALUES) == set(BY_NAME)
    assert not [name for name, value in OTHER_VALUES.items() if value == BY_NAME[name].default]


@pytest.mark.parametrize("name", [s.name for s in SETTINGS if s.reader in OF_COMPONENTS])
def test_a_component_reads_its_setting(name: str, topology: Topology, tmp_path: Path) -> None:
    assert seen(parsed(DEFAULTS, topology, tmp_path), name) == BY_NAME[name].default
    assert seen(parsed(having(name, OTHER_VALUES[name]), topology, tmp_path), name) == OTHER_VALUES[name]


def test_no_setting_of_a_component_is_left_out() -> None:
    """Whatever a component can be told is a setting, or is named as what a run fills in."""

    def fields(model: type[BaseModel], prefix: str) -> set[str]:
        return {f"{prefix}.{name}" for name in model.model_fields}

    known = set(BY_NAME) | {name.rpartition(".")[0] for name in BY_NAME}
    filled = {f"{section}.{name}" for section, (_, names) in OF_A_RUN.items() for name in names}
    there = fields(ControllerConfig, "controller") | fields(KmsConfig, "kms") | fields(AgentConfig, "tunnel")
    there |= fields(OF_A_RUN["openflow"][0], "openflow")
    there -= {"controller.api", "controller.openflow"}  # sections of their own
    assert there == (there & known) | filled
    assert not known & filled


def test_the_network_is_as_configured(topology: Topology) -> None:
    def network(name: str) -> Topology:
        return configured_topology(having(name, OTHER_VALUES[name]))

    assert network("network.topo").name == "metro-ring"
    assert not network("network.shaped").shaped
    assert configured_topology(DEFAULTS).shaped
    first = topology.channels[0]
    assert network("network.scale").channel(first.id).capacity_mbps == 2.5 * first.capacity_mbps
    assert run_options(having("network.bfd", True)).bfd
    assert not run_options(DEFAULTS).bfd


def test_the_controller_is_told_what_seals(topology: Topology, tmp_path: Path) -> None:
    assert parsed(DEFAULTS, topology, tmp_path)["controller"].encryption is EncryptionMode.HOST
    told = parsed(having("encryption.mode", "both"), topology, tmp_path)["controller"].encryption
    assert (told, told.hosts_seal, told.cards_seal) == (EncryptionMode.BOTH, True, True)


def test_extensions_are_those_of_the_configuration(topology: Topology, tmp_path: Path) -> None:
    options = run_options(
        having("extensions.use", ["pce=yen", "healing=lazy"]).with_entries(
            {"extensions.deadline_s": Entry(0.5), "extensions.on_failure": Entry("builtin")}
        )
    )
    layout, path = Layout(tmp_path / "state", tmp_path / "run"), tmp_path / "controller.json"
    path.write_text(json.dumps(controller_file(topology, layout, options.configuration, extensions=options.extensions)))
    told = load_config(path).extensions
    assert told.pce is not None
    assert told.healing is not None
    assert told.pce.target.endswith("yen:YenPce")
    assert (told.pce.deadline_s, told.healing.on_failure) == (0.5, "builtin")
    assert [str(identity) for identity in options.extensions.identities] == ["pce yen 1.0", "healing lazy 1.0"]


def test_both_ends_and_the_controller_are_told_of_a_suite(topology: Topology, tmp_path: Path) -> None:
    options = run_options(having("extensions.use", ["suite=aes-256-gcm-siv"]))
    layout, controller, agent = Layout(tmp_path / "s", tmp_path / "r"), tmp_path / "c.json", tmp_path / "a.json"
    (identity,) = options.extensions.identities
    for site in ("cell1", "core1"):
        file = agent_file(topology, layout, options.configuration, site, extensions=options.extensions)
        agent.write_text(json.dumps(file))
        told = load_agent_config(agent).suite_extension
        assert told is not None
        assert told.sha256 == identity.sha256
    file = controller_file(topology, layout, options.configuration, extensions=options.extensions)
    controller.write_text(json.dumps(file))
    assert load_config(controller).extensions.suite == "x-aes-256-gcm-siv"


def test_a_suite_is_refused_where_the_kernel_alone_shall_encrypt() -> None:
    told = having("extensions.use", ["suite=aes-256-gcm-siv"]).with_entries({"tunnel.data_plane": Entry("kernel")})
    with pytest.raises(WrongRequest, match="no kernel has it"):
        run_options(told)


def test_the_kms_is_told_of_its_extensions_and_on_what_terms(topology: Topology, tmp_path: Path) -> None:
    first = topology.sections[0].id
    options = run_options(
        having("extensions.use", ["qkd=ideal-link", "source=etsi014-upstream"]).with_entries(
            {"extensions.qkd_sections": Entry([first]), "extensions.qkd_vouched": Entry(True)}
        )
    )
    layout = Layout(tmp_path / "state", tmp_path / "run")
    told = parse_config(json.dumps(kms_file(topology, layout, options.configuration, options.extensions)))
    assert told.source_extension is not None
    assert told.source_extension.level == "qra"
    assert told.qkd_extension is not None
    assert told.qkd_extension.target.endswith("ideal_link:IdealLink")
    assert (told.qkd_extension.sections, told.qkd_extension.is_vouched) == ((first,), True)
    untold = parse_config(json.dumps(kms_file(topology, layout, options.configuration)))
    assert (untold.source_extension, untold.qkd_extension) == (None, None)


def test_a_file_of_an_extension_is_meant_as_seen_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("version: 1\nextensions:\n  use: [pce=./mine.py:Pce, healing=lazy]\n")
    found = read_configuration(str(file), {}, {})["extensions.use"]
    assert found == [f"pce={tmp_path}/mine.py:Pce", "healing=lazy"]


def test_scenarios_run_on_networks_as_fast_as_configured() -> None:
    slow = read_scenario(find_scenario("link-cut")).topology.channels[0]
    fast = read_scenario(find_scenario("link-cut"), speed=Speed(2.5)).topology.channels[0]
    assert fast.capacity_mbps == 2.5 * slow.capacity_mbps


def test_experiments_take_seed_and_repetitions_of_the_configuration_else_the_scenarios() -> None:
    scenario = read_scenario(find_scenario("link-cut"))
    told = run_settings(having("experiment.seed", 77), scenario)
    assert (told.seed, told.repetitions) == (77, scenario.file.repetitions)
    told = run_settings(having("experiment.repetitions", 9), scenario)
    assert (told.seed, told.repetitions) == (scenario.file.seed, 9)


def test_benchmarks_do_by_default_what_the_table_says() -> None:
    assert KmsEffort(**DEFAULTS.section("bench.kms")) == KmsEffort()
    sizes, queries = (DEFAULTS[f"bench.paths.{name}"] for name in ("sizes", "queries"))
    assert PathsEffort(sizes=tuple(sizes), queries=queries) == PathsEffort()
    assert ScaleEffort(DEFAULTS["bench.scale.runs"]) == ScaleEffort()
    plan = DEFAULTS.section("bench.tunnel")
    assert Plan(("veth",), tuple(plan["mtus"]), rounds=plan["rounds"], seconds=plan["seconds"]).rounds == 3


def parse(words: str) -> argparse.Namespace:
    return parsed_words(words.split())


def told_defaults(path: str) -> dict[str, str]:
    """The defaults that the help of a command tells, by option."""
    found = {}
    for leaf in leaves():
        for argument in leaf.arguments if leaf.path == path else ():
            told = re.search(r"\(default:? (.*)\)", str(argument.options.get("help")))
            if told:
                found[argument.flags[0]] = told[1]
    return found


def test_the_defaults_that_help_tells_are_those_of_the_settings() -> None:
    checked = 0
    for setting in SETTINGS:
        path = {Reader.BENCH: " ".join(setting.path[:2]), Reader.EXPERIMENT: "experiment run"}.get(setting.reader, "up")
        told = told_defaults(path).get(setting.option)
        if setting.default is not None and told is not None and setting.name != "bench.qkd.bits":
            values = setting.default if isinstance(setting.default, list) else [setting.default]
            assert told == " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values), setting
            checked += 1
    assert checked > 12


@pytest.mark.parametrize(
    ("words", "section", "name"),
    [
        ("bench provision --runs 7", "bench.provision", "bench.provision.runs"),
        ("bench failover --runs 7", "bench.failover", "bench.failover.runs"),
        ("bench failover --slices 7", "bench.failover", "bench.failover.slices"),
        ("bench failover --stp-runs 7", "bench.failover", "bench.failover.stp_runs"),
        ("bench tunnel --rounds 7", "bench.tunnel", "bench.tunnel.rounds"),
        ("bench tunnel --seconds 7", "bench.tunnel", "bench.tunnel.seconds"),
        ("bench tunnel --mtus 1400", "bench.tunnel", "bench.tunnel.mtus"),
        ("bench cards --rounds 7", "bench.cards", "bench.cards.rounds"),
        ("bench cards --seconds 7", "bench.cards", "bench.cards.seconds"),
        ("bench paths --sizes 50", "bench.paths", "bench.paths.sizes"),
        ("bench paths --queries 7", "bench.paths", "bench.paths.queries"),
        ("bench qkd --bits 7", "bench.qkd", "bench.qkd.bits"),
        ("bench scale --sites 6", "bench.scale", "bench.scale.sites"),
        ("bench scale --runs 7", "bench.scale", "bench.scale.runs"),
        ("bench kms --seconds 7.5", "bench.kms", "bench.kms.seconds"),
        ("bench kms --apps-seconds 7.5", "bench.kms", "bench.kms.apps_seconds"),
        ("bench kms --applications 7", "bench.kms", "bench.kms.applications"),
        ("bench kms --source qra", "bench.kms", "bench.kms.source"),
        ("up --encryption channel", "", "encryption.mode"),
        ("demo --encryption channel", "", "encryption.mode"),
        ("experiment run chaos --encryption channel", "experiment", "encryption.mode"),
        ("up --provisioning sequential", "", "provisioning.mode"),
        ("demo --provisioning sequential", "", "provisioning.mode"),
        ("experiment run chaos --provisioning sequential", "experiment", "provisioning.mode"),
        ("bench provision --provisioning sequential", "bench.provision", "provisioning.mode"),
        ("up --dh ffdhe3072", "", "kms.dh_group"),
        ("experiment run chaos --qra sntrup761+ML-KEM-768", "experiment", "kms.qra_kem"),
        ("demo --kme-signature ecdsa-p256+ml-dsa-65", "", "kms.kme_signature"),
        ("up --always qra", "", "policy.always"),
        ("experiment run chaos --cost-profile use-free-premium", "experiment", "policy.cost_profile"),
        ("up --use pce=yen", "", "extensions.use"),
        ("up --on-failure builtin", "", "extensions.on_failure"),
        ("experiment run link-cut --deadline 0.5", "experiment", "extensions.deadline_s"),
        ("experiment run chaos --seed 77", "experiment", "experiment.seed"),
        ("experiment run link-cut --repetitions 9", "experiment", "experiment.repetitions"),
        ("experiment run chaos --faults 12", "experiment", "experiment.faults"),
        ("experiment run chaos --api-port 9001", "experiment", "api.port"),
        ("bench scale --api-port 9001", "bench.scale", "api.port"),
        ("demo --api-port 9001", "", "api.port"),
    ],
)
def test_an_option_is_the_setting_that_it_is_said_to_be(words: str, section: str, name: str) -> None:
    configuration = configuration_of(parse(words), section=section)
    assert configuration.differing() == {name: OTHER_VALUES[name]}
    assert configuration.entry(name).origin == Origin(Source.OPTION, BY_NAME[name].option)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_setting_can_be_set_by_file_and_by_the_environment(name: str, tmp_path: Path) -> None:
    value = OTHER_VALUES[name]
    document: Any = value
    for part in reversed(name.split(".")):
        document = {part: document}
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(document))
    configuration = read_configuration(str(file), {}, {})
    assert configuration.differing() == {name: value}
    assert configuration.entry(name).origin == Origin(Source.FILE, f"{file}:1")
    variable = BY_NAME[name].variable
    text = value if isinstance(value, str) else json.dumps(value)
    configuration = read_configuration(None, {}, {variable: text})
    assert configuration.differing() == {name: value}
    assert configuration.entry(name).origin == Origin(Source.ENVIRONMENT, variable)


def test_a_detached_run_is_told_all_of_it(topology: Topology, tmp_path: Path) -> None:
    configuration = Configuration({n: Entry(v, Origin(Source.OPTION, "--x")) for n, v in OTHER_VALUES.items()})
    order = tmp_path / "order.json"
    order.write_text(json.dumps(_order(topology, run_options(configuration))))
    with order.open() as source:
        assert read_order(source) == (topology, run_options(configuration))


def test_a_configuration_written_as_a_file_is_the_same() -> None:
    configuration = Configuration({n: Entry(v, Origin(Source.OPTION, "--x")) for n, v in OTHER_VALUES.items()})
    again = parse_file(json.dumps(configuration.document()), "f")
    assert {name: given.value for name, given in again.items()} == configuration.differing() == OTHER_VALUES
