"""Arguments that several commands have."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Argument, argument
from scripts.cli.grammar.values import port, seconds

LEVELS = ("none", "dh", "qra", "qkd")
TOPOLOGY = argument("topology", metavar="NAME|FILE", names="topology", help="a shipped topology, or a file")
API_PORT = argument("--api-port", type=port, metavar="PORT", help="the API's (default 8080)")
ENCRYPTION = argument("--encryption", choices=("host", "channel", "both"),
                      help="what seals: tunnels from host to host, cards at the ends of each wavelength, or both "
                           "(default host)")  # fmt: skip
PROVISIONING = argument("--provisioning", choices=("parallel", "sequential"),
                        help="how slices are set up: all switches at once by OpenFlow, or one device after the other "
                             "by NETCONF, as in the papers (default parallel)")  # fmt: skip
KEY_POLICIES = (
    argument("--always", action="append", choices=("dh", "qra"),
             help="a method of which every key of QKD gets a part too; may be given twice"),
    argument("--cost-profile", choices=("premium-last", "use-free-premium"),
             help="whether lesser traffic takes premium channels only where nothing else fits, or free ones like any "
                  "other (default premium-last)"),
    argument("--qra", metavar="KEM", help="the post-quantum KEM of QRA keys, or several joined by +, such as "
             "ML-KEM-768+HQC-256 (default auto)"),
    argument("--dh", metavar="GROUP", help="the group of DH keys, such as ffdhe3072 (default x25519)"),
    argument("--kme-signature", metavar="NAME",
             help="what KMEs sign their key exchanges with, such as ecdsa-p256+ml-dsa-65 (default ecdsa-p256)"),
)  # fmt: skip
USE = argument(
    "--use", action="append", default=[], metavar="KIND=TARGET", names="extension",
    help="an extension in the place of the builtin: KIND=MODULE:NAME, KIND=./file.py:NAME, or a short name of "
         "`extension list`; may be given several times",
)  # fmt: skip
EXTENSION_TERMS = (
    argument("--on-failure", choices=("reject", "builtin"),
             help="what is done when an extension fails or its answer is refused (default reject)"),
    argument("--source-level", choices=("dh", "qra"),
             help="at which level the keys of an extension `source` serve, whatever it says of itself (default qra)"),
    argument("--deadline", type=seconds, metavar="S",
             help="how long an extension's answer may take (default: that of its kind)"),
)  # fmt: skip


def topology_option(default: str | None, text: str = "") -> Argument:
    """``--topo``; without a default the command chooses, as ``text`` says."""
    shown = text or f"a shipped topology (`topo list`), or a YAML or JSON file (default {default})"
    return argument("--topo", metavar="NAME|FILE", names="topology", help=shown)


def out_option(default: str, text: str = "where results go") -> Argument:
    """``--out`` of a folder that the command may make."""
    return argument("--out", type=Path, metavar="DIR", names="folder", help=f"{text} (default {default})")
