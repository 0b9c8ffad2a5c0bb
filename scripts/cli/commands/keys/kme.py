"""``kme check``: whether a key management entity, ours or a vendor's, keeps to ETSI GS QKD 014."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from pathlib import Path

from kms.clients.conformance_client import Access, Credentials, base_url, check, sae_id_of
from kms.conformance.findings import Verdict
from kms.conformance.report import STANDARD, Report
from kms.errors import PkiError
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import read_record
from topologies.spec import KME_PORT, Topology, VendorKme

_LONGEST_S = 120.0


def _check(arguments: argparse.Namespace, layout: Layout) -> int:
    if not 0 < arguments.timeout <= _LONGEST_S:
        raise WrongRequest(f"--timeout: {arguments.timeout:g} is not between 0 and {_LONGEST_S:g} s")
    _use_the_runs_own(arguments, layout)
    for option in ("cert", "key", "ca"):
        if getattr(arguments, option) is None:
            raise WrongRequest(f"--{option}: needed to ask a KME that is not of a network of ours that is up")
    if (arguments.peer_cert is None) != (arguments.peer_key is None):
        raise WrongRequest("--peer-cert and --peer-key go together")
    if arguments.sae is None and arguments.peer_cert is None:
        raise WrongRequest("--sae: whom to order keys for; or --peer-cert and --peer-key, to fetch them as well")
    for option, url in (("URL", arguments.url), ("--peer-url", arguments.peer_url)):
        try:
            base_url(url or arguments.url)
        except ValueError as error:
            raise WrongRequest(f"{option}: {error}") from error
    try:
        report = _report(arguments)
    except PkiError as error:
        raise WrongRequest(f"certificates: {error}") from error
    if arguments.json:
        print_json(report.document())
    else:
        _show(report)
    return 0 if report.ok else 1


def _report(arguments: argparse.Namespace) -> Report:
    master = Access(arguments.url, Credentials(arguments.cert, arguments.key, arguments.ca))
    slave, sae = None, arguments.sae
    if arguments.peer_cert is not None:
        files = Credentials(arguments.peer_cert, arguments.peer_key, arguments.peer_ca or arguments.ca)
        slave, sae = Access(arguments.peer_url or arguments.url, files), sae or sae_id_of(arguments.peer_cert)
    return asyncio.run(check(master, sae, slave, str(uuid.uuid4()), arguments.timeout))


def _show(report: Report) -> None:
    rows = [
        (
            each.check.name,
            each.check.clause,
            each.check.requirement,
            each.judgement.verdict.value,
            each.judgement.detail,
        )
        for each in report.findings
    ]
    columns = ("check", "clause", "requirement", "verdict", "detail")
    print_table(f"{report.url} against {STANDARD}", columns, rows)
    for remark in report.remarks:
        say(f"  {remark}")
    counts = {verdict: len(report.names(verdict)) for verdict in Verdict}
    say(", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count))


def _use_the_vendors(arguments: argparse.Namespace, topology: Topology, vendor: VendorKme) -> None:
    """What the topology says of the site's vendor's KME, and of that of the first site it serves QKD with."""
    arguments.url, arguments.cert, arguments.key = vendor.url, Path(vendor.cert), Path(vendor.key)
    arguments.ca = arguments.ca or Path(vendor.ca)
    peers = [kme for name in vendor.qkd_with if (kme := topology.site(name).kme) is not None]
    if peers and arguments.peer_cert is None and arguments.sae is None:
        arguments.peer_url, arguments.sae = peers[0].url, peers[0].sae or None
        arguments.peer_cert, arguments.peer_key = Path(peers[0].cert), Path(peers[0].key)
        arguments.peer_ca = Path(peers[0].ca)


def _use_the_runs_own(arguments: argparse.Namespace, layout: Layout) -> None:
    """For a KME of the network that is up, the certificates of its site's SAE and, as the slave, of another site's."""
    try:
        record = read_record(layout)
    except PermissionError:  # a network is root's; others name their own files
        return
    if arguments.cert is not None or record is None or not record.supervisor.is_alive():
        return
    topology, pki = record.network, record.layout(layout).pki
    if topology.has_site(arguments.url) and (vendor := topology.site(arguments.url).kme) is not None:
        _use_the_vendors(arguments, topology, vendor)
        return
    urls = {site: f"https://{topology.host(site).kme_address}:{KME_PORT}" for site in topology.site_names}
    site = next((name for name, url in urls.items() if arguments.url.rstrip("/") in (name, url)), None)
    if site is None:
        return
    own = pki / f"sae-{site}"
    arguments.url, arguments.cert, arguments.key = urls[site], own / "cert.pem", own / "key.pem"
    arguments.ca = arguments.ca or own / "ca.pem"
    if arguments.peer_cert is None and arguments.sae is None and len(urls) > 1:
        peer = next(name for name in urls if name != site)
        arguments.peer_url = urls[peer]
        arguments.peer_cert, arguments.peer_key = (pki / f"sae-{peer}" / name for name in ("cert.pem", "key.pem"))


HANDLERS: Handlers = {"kme check": _check}
