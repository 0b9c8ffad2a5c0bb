"""``keys`` and ``pki``: what the KMS holds, and certificates for its clients."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kms import pki
from kms.errors import KmsError
from scripts.errors import DidNotHold, WrongRequest
from scripts.layout import Layout
from scripts.output import print_json, print_table, say
from scripts.run_record import read_record, running_record
from scripts.system import RunningSystem
from topologies.catalog import CATALOG, load


def add_parsers(commands: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    keys = commands.add_parser("keys", parents=[common], help="pools, rates, QBER per section")
    keys.set_defaults(run=_keys)
    group = commands.add_parser("pki", help="certificates of the testbed's own CA").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    issue = group.add_parser("issue", parents=[common], help="a client certificate, its key and the CA")
    issue.add_argument("sae_id", metavar="SAE_ID", help="the identity that the KMEs will see")
    issue.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to put cert.pem, key.pem, ca.pem")
    issue.add_argument("--site", metavar="SITE", help="the site whose KME serves it (default: the one it first asks)")
    issue.set_defaults(run=_issue)


def _keys(arguments: argparse.Namespace, layout: Layout) -> int:
    system = RunningSystem(running_record(layout), layout)
    status, body = system.kms.call("GET", "/v1/keys")
    if status != 200:
        raise DidNotHold(f"the KMS answered {status}: {body}")
    if arguments.json:
        print_json(body)
        return 0
    columns = ("id", "from", "to", "km", "model", "state", "secret bit/s", "in store, bits", "QBER")
    print_table("QKD sections", columns, [
        (
            s["id"], s["a"], s["b"], s["length_km"], section_model(s), s["state"], s["skr_bps"], s["available_bits"],
            s["qber"],
        )
        for s in body["sections"]
    ])  # fmt: skip
    print_table("Pools", ("from", "to", "source", "keys", "of"), [
        (p["a"], p["b"], p["source"], p["stored"], p["max"])
        for p in body["pools"]
    ])  # fmt: skip
    return 0


def section_model(section: dict[str, Any]) -> str:
    """Protocol, and how its key comes about."""
    name = f"{section['protocol']}, {section['model']}"
    return name if section["secure"] else f"{name}, NOT SECURE"


def _issue(arguments: argparse.Namespace, layout: Layout) -> int:
    record = read_record(layout)
    if record is not None and record.supervisor.is_alive():
        layout = record.layout(layout)  # the CA that the KMEs of this run know, whichever checkout started it
    if arguments.site is not None:
        _require_site(arguments.site)
    layout.make()
    out: Path = arguments.out
    if out.exists() and not out.is_dir():
        raise WrongRequest(f"--out: {out} is not a directory")
    try:
        pki.ensure_ca(layout.pki)
        pki.issue_sae(layout.pki, arguments.sae_id, out, site=arguments.site)
    except KmsError as error:
        raise WrongRequest(f"SAE_ID: {error}") from error
    except OSError as error:
        raise WrongRequest(f"--out: cannot write to {out}: {error.strerror}") from error
    paths = {name: str((out / f"{name}.pem").resolve()) for name in ("cert", "key", "ca")}
    if arguments.json:
        print_json({"sae_id": arguments.sae_id, **paths})
    else:
        say(f"{arguments.sae_id}: " + ", ".join(paths.values()))
    return 0


def _require_site(name: str) -> None:
    sites = sorted({site for topology in CATALOG for site in load(topology).site_names})
    if name not in sites:
        raise WrongRequest(f"--site: there is no site {name!r} in any topology; there are {', '.join(sites)}")
