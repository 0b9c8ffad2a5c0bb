"""The configuration of a command: its options, the environment, and the file of ``--config``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from scripts.cli.extensions import in_force
from scripts.cli.topologies import chosen_topology
from scripts.configuration.sources import read_configuration
from scripts.configuration.table import BY_NAME
from scripts.configuration.values import Configuration
from scripts.testbed.extensions import OF_NETWORK
from scripts.testbed.life.run import RunOptions
from topologies.spec import Topology

OPTIONS_OF_RUNS = {
    "encryption.mode": "encryption",
    "provisioning.mode": "provisioning",
    "kms.qra_kem": "qra",
    "kms.dh_group": "dh",
    "kms.kme_signature": "kme_signature",
    "policy.always": "always",
    "policy.cost_profile": "cost_profile",
}


def configuration_of(
    arguments: argparse.Namespace, options: Mapping[str, Any] | None = None, section: str = ""
) -> Configuration:
    """What is in force. ``options`` has what was given by the settings' names; None: not given.

    The options of ``section`` are called like its settings. Raises WrongRequest.
    """
    given = dict(options or {})
    for name in BY_NAME:
        if section and name.startswith(f"{section}."):
            given[name] = getattr(arguments, name.rpartition(".")[2], None)
    if getattr(arguments, "api_port", None) is not None:
        given["api.port"] = arguments.api_port
    for name, option in OPTIONS_OF_RUNS.items():
        value = getattr(arguments, option, None)
        if value is not None:  # else what the command itself has chosen holds
            given[name] = value
    for name, option in (
        ("use", "use"),
        ("on_failure", "on_failure"),
        ("deadline_s", "deadline"),
        ("source_level", "source_level"),
    ):
        value = getattr(arguments, option, None)
        if value not in (None, []):
            given[f"extensions.{name}"] = value
    return read_configuration(arguments.config, given)


def run_options(configuration: Configuration) -> RunOptions:
    """What a network is started with that nobody but the configuration describes."""
    extensions = in_force(configuration, OF_NETWORK)
    return RunOptions(configuration, bfd=configuration["network.bfd"], extensions=extensions)


def configured_topology(configuration: Configuration, name: str | None = None) -> Topology:
    """The network to bring up: that of the configuration, or one that is named, as fast as the configuration says."""
    scale, shaped = configuration["network.scale"], configuration["network.shaped"]
    if name is not None:
        return chosen_topology(name, scale, shaped)
    topo = configuration.entry("network.topo")
    return chosen_topology(topo.value, scale, shaped, str(topo.origin))
