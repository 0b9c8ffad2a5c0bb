"""The parts of the configuration as the components read them, and whether they go together. Pure.

A component parses the same again when it starts. What only it can say (a size between two others) is asked of its own
parser here, so that a file which is valid starts.
"""

from __future__ import annotations

import json
from typing import Any

from kms.config import parse_config
from kms.errors import ConfigError
from scripts.configuration.values import Configuration
from topologies.files.problems import Problem

_A_KMS = {
    "state_dir": "/", "pki_dir": "/", "admin_socket": "/",
    "sites": [{"site": "a", "kme_id": "kme-a", "host": "127.0.0.1"}],
}  # fmt: skip


def kms_part(configuration: Configuration) -> dict[str, Any]:
    """Members of the KMS' configuration file."""
    return configuration.section("kms")


def agent_part(configuration: Configuration) -> dict[str, Any]:
    """Members of every tunnel agent's configuration file."""
    return configuration.section("tunnel")


def controller_part(configuration: Configuration) -> dict[str, Any]:
    """Members of the controller's configuration file; ``openflow`` also has members that a run adds."""
    sections = {name: configuration.section(name) for name in ("api", "openflow", "policy", "latency")}
    return {**configuration.section("controller"), **sections}


def contradiction(configuration: Configuration) -> Problem | None:
    """What cannot be together although each setting is possible; the first, with its path."""
    try:
        parse_config(json.dumps({**_A_KMS, **kms_part(configuration)}))
    except ConfigError as error:
        return Problem(("kms", *error.place.split(".")), error.reason)
    return None
