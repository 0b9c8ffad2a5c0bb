"""docs/reference/config.md, made of the table. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from controller.schema.config import ControllerConfig, OpenFlowConfig
from kms.config import KmsConfig
from kms.tunnel.config import AgentConfig
from scripts.configuration.setting import Setting
from scripts.configuration.table import SETTINGS

SECTIONS = {
    "network": "The network",
    "encryption": "Encryption",
    "api": "The northbound API",
    "openflow": "OpenFlow",
    "policy": "The operator's policy",
    "latency": "Latency beside fibre and cards",
    "controller": "The controller",
    "provisioning": "Provisioning",
    "kms": "The key management service",
    "tunnel": "The tunnels",
    "extensions": "Extensions",
    "experiment": "Experiments",
    "bench": "Benchmarks",
}
# Fields of the components' own files that have no setting: what a run fills in, what the topology has, tests' own.
OF_A_RUN: dict[str, tuple[type[BaseModel], dict[str, str]]] = {
    "controller": (
        ControllerConfig,
        {
            "topology": "the network, in full form",
            "database": "the journal (SQLite)",
            "token_file": "the operator's token; made at the first start",
            "viewer_token_file": "the viewer's token; default: beside the operator's, `.viewer` added",
            "kms_socket": "the KMS' admin socket",
            "tunnel_sockets": "the agents' control sockets by site",
            "encryption": "`encryption.mode`",
            "provisioning": "`provisioning.*`; `layer_host`, `layer_port`, `layer_token` of the controller layer",
            "policy": "`policy.*`",
            "latency": "`latency.*`",
            "ovsdb_socket": "Open vSwitch's database, with `network.bfd`: sets the BFD intervals",
            "watch_carrier": "true: the switches' ports are interfaces of this machine, whose kernel tells of carrier",
            "extensions": "extensions in force, of `extensions.*`, each with its file",
            "crash_at_checkpoint": "tests only: the process kills itself there",
            "unsafe_mutation": "tests only: the controller is wrong in that way (`experiment run chaos --mutation`)",
        },
    ),
    "openflow": (
        OpenFlowConfig,
        {
            "host": "127.0.0.1",
            "tls": "true; false lets anybody on the machine be a switch",
            "key": "the controller's private key, a path",
            "cert": "the controller's certificate, a path",
            "ca": "the authority of the switches' certificates, a path",
            "switch_name": "the common name that the switches' certificate must have",
        },
    ),
    "kms": (
        KmsConfig,
        {
            "source_extension": "an extension that gives keys, with the level of `extensions.source_level`",
            "qkd_extension": "an extension that makes QKD sections' key: `extensions.qkd_sections`, `.qkd_vouched`",
            "state_dir": "where keys are kept",
            "pki_dir": "the authority and its register",
            "admin_socket": "the admin socket",
            "sites": "`site`, `kme_id`, `host`, `port` (8443), `peer_port` (8444), `sae_ids` of each KME",
            "sections": "the topology's QKD sections",
            "qkd_links": "the topology's QKD links",
            "nodes": "one process per site: at which site a QKD node is that is not called like one",
            "pairs": "sites whose pools are filled before the first request: `a`, `b`, `key_source`",
        },
    ),
    "tunnel": (
        AgentConfig,
        {
            "host": "the site",
            "sae_id": "the SAE in whose name keys are fetched",
            "control_socket": "where the controller tells it its connections",
            "underlay_interface": "the host's interface to the switch",
            "underlay_address": "its IPv4 address",
            "kme_url": "the KME's base URL (https)",
            "cert": "the SAE's certificate, a path",
            "key": "its private key, a path",
            "ca": "the authority of the KME's certificate, a path",
            "suite_extension": "an extension that encrypts: `target`, `folder`, and its file's `sha256`",
            "vendor": "the topology's `kme` of the site: `url`, `cert`, `key`, `ca`, `socket`, `peers`",
        },
    ),
}
HEAD = """\
# Configuration

<!-- Made by `.venv/bin/python -m scripts.configuration`; a test compares. -->

One file sets everything that `up`, `demo`, `experiment` and `bench` can be told:

    sudo scripts/qslice up --detach --config my.yaml
    scripts/qslice config validate my.yaml
    scripts/qslice config show --config my.yaml

YAML 1.2 or JSON. An example:

    version: 1
    network: {topo: metro-ring, scale: 2}
    controller:
      forbidden_suites: [null-aes-256-gmac, null-aes-256-gmac-esn]
    kms:
      qra_kem: ML-KEM-768
      quotas:
        sae-cell1: {requests_per_s: 50}

- **Precedence**: an option of the command line, else a variable of the environment, else the file, else the default.
  `config show` prints every value in force and where it comes from (`--json` too).
- **The file** is that of `--config`, else of the variable `QSLICE_CONFIG`. Everything in it is optional; what it does
  not know, or cannot be, is refused with its line. `config validate` lists all that is wrong.
- **Variables**: `QSLICE_`, then the name in capitals with two underscores for each dot:
  `QSLICE_KMS__QRA_KEM=ML-KEM-768`. `sudo` passes them on when they stand behind it:
  `sudo QSLICE_CONFIG=my.yaml scripts/qslice up`.
- **Paths** are relative to the file that says them, else to the current directory.
- **Secrets** (tokens, keys) are never in the file; settings name files that have them.
- **Editors** complete by [the JSON Schema](config.schema.json), which `config schema` prints too.

Results carry what was not at its default ([results](results.md)).
"""
RUN_HEAD = """\
## What a run fills in

`up` writes one JSON file per process to `/run/qslice`, with the settings above and the fields below. Whoever starts
`python -m controller`, `python -m kms` or `python -m kms.tunnel` by hand writes such a file (`--config`); unknown
fields are refused there too.
"""


def reference() -> str:
    """The whole document."""
    parts = [HEAD]
    for section, title in SECTIONS.items():
        found = [setting for setting in SETTINGS if setting.path[0] == section]
        parts.append(f"## {title}\n\n" + _table(("setting", "default", "unit", "may be", "meaning", "read by"),
                                                [_row(setting) for setting in found]))  # fmt: skip
    parts.append(RUN_HEAD)
    for section, (_, fields) in OF_A_RUN.items():
        title = {"openflow": "controller, `openflow`", "tunnel": "tunnel agent"}.get(section, section)
        title = "KMS" if section == "kms" else title
        parts.append(f"### {title}\n\n" + _table(("field", "what"), [(f"`{n}`", what) for n, what in fields.items()]))
    return "\n".join(parts)


def _row(setting: Setting) -> tuple[str, ...]:
    option = f" Option: `{setting.option}`." if setting.option else ""
    variable = f" Variable: `{setting.own_variable}`." if setting.own_variable else ""
    return (
        f"`{setting.name}`", f"`{_text(setting.default)}`", setting.unit, setting.limits,
        setting.meaning + option + variable, setting.reader.value,
    )  # fmt: skip


def _text(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, float):
        return f"{value:.15g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
