"""``keys`` and ``pki``: what the KMS holds, and certificates for its clients."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from kms.errors import KmsError
from kms.own_directory import OwnDirectory, Owner
from kms.pki import authority
from kms.pki.credentials import PKCS12_FILE
from kms.pki.revocation import revoke_sae
from kms.pki.sae_register import issued_saes
from kms.pki.signing_request import read_signing_request
from scripts.cli.passwords import read_password
from scripts.console.output import print_json, print_table, say
from scripts.errors import DidNotHold, WrongRequest
from scripts.files.caller import who_called_sudo
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import read_record, running_record
from scripts.testbed.running_system import RunningSystem
from topologies.catalog import CATALOG, load
from topologies.spec import Topology

_T = TypeVar("_T")


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
    _add_pkcs12(issue)
    issue.set_defaults(run=_issue)
    sign = group.add_parser("sign", parents=[common], help="a client certificate for a key that is made elsewhere")
    sign.add_argument("--csr", required=True, type=Path, metavar="FILE", help="the signing request, PEM or DER")
    sign.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to put cert.pem and ca.pem")
    sign.add_argument("--sae", metavar="SAE_ID", help="the identity (default: the common name in the request)")
    sign.add_argument("--site", metavar="SITE", help="the site whose KME serves it (default: the one it first asks)")
    sign.set_defaults(run=_sign)
    renew = group.add_parser(
        "renew", parents=[common], help="a new certificate and key; the old one stays valid until it expires"
    )
    renew.add_argument("sae_id", metavar="SAE_ID")
    renew.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to put cert.pem, key.pem, ca.pem")
    _add_pkcs12(renew)
    renew.set_defaults(run=_renew)
    revoke = group.add_parser("revoke", parents=[common], help="all certificates of an SAE, at once")
    revoke.add_argument("sae_id", metavar="SAE_ID")
    revoke.set_defaults(run=_revoke)
    listing = group.add_parser("list", parents=[common], help="SAEs with certificates, and their expiry")
    listing.set_defaults(run=_list)


def _add_pkcs12(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pkcs12", action="store_true", help=f"{PKCS12_FILE} as well, with all three, under a password"
    )
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="its first line (default: asked for)")


def _keys(arguments: argparse.Namespace, layout: Layout) -> int:
    system = RunningSystem(running_record(layout), layout)
    status, body = system.kms.call("GET", "/v1/keys")
    if status != 200:
        raise DidNotHold(f"the KMS answered {status}: {body}")
    if arguments.json:
        print_json(body)
        return 0
    columns = ("id", "from", "to", "km", "model", "state", "why", "secret bit/s", "in store, bits", "QBER")
    print_table("QKD sections", columns, [
        (
            s["id"], s["a"], s["b"], s["length_km"], section_model(s), s["state"], s["stop_reason"], key_rate(s),
            s["available_bits"], s["qber"],
        )
        for s in body["sections"]
    ])  # fmt: skip
    print_table("QKD links", ("id", "from", "to", "over", "state", "secret bit/s", "in store, bits"), [
        (
            link["id"], link["a"], link["b"], " ".join(link["sections"]), _link_state(link),
            key_rate(link), link["available_bits"],
        )
        for link in body["links"]
    ])  # fmt: skip
    if vendors := vendor_links(system.topology):
        served = ("id", "from", "to", "KME of the first", "secret bit/s")
        print_table("Vendors' QKD", served, [(*link, "not known") for link in vendors])
    if body["routes"]:
        print_table("Relay routes", ("from", "to", "over", "trusted nodes", "secret bit/s", "in store, bits"), [
            (
                r["a"], r["b"], " ".join(r["sections"]) if r["usable"] else f"NONE: {r['reason']}",
                " ".join(r["nodes"]), r["skr_bps"], r["available_bits"],
            )
            for r in body["routes"]
        ])  # fmt: skip
    print_table("Pools", ("from", "to", "source", "keys", "of"), [
        (p["a"], p["b"], p["source"], p["stored"], p["max"])
        for p in body["pools"]
    ])  # fmt: skip
    if body["reservations"]:
        reserved = ("master", "slaves", "source", "bit/s", "relays", "state", "over")
        print_table("Reservations", reserved, [
            (
                r["server_app_id"], " ".join(r["client_app_id"]), r["key_source"], r["min_bandwidth"],
                r["disjoint_relays"], r["app_status"], " ".join(r["sections"]),
            )
            for r in body["reservations"]
        ])  # fmt: skip
    return 0


def vendor_links(topology: Topology) -> list[tuple[str, str, str, str]]:
    """Pairs of sites whose vendor's KMEs serve QKD, by the operator's word: id, ends, and the URL at the first end."""
    return [
        (link, site.name, peer, site.kme.url)
        for site in topology.sites
        if site.kme is not None
        for peer in site.kme.qkd_with
        if site.name < peer and (link := topology.vendor_link(site.name, peer)) is not None
    ]


def _link_state(link: dict[str, Any]) -> str:
    if link["usable"]:
        return "usable"
    return "not judged yet" if link["skr_bps"] is None else "OFF"


def key_rate(shown: dict[str, Any]) -> float | str:
    """The rate of a section or link as a person reads it."""
    rate: float | None = shown["skr_bps"]
    return "not known yet" if rate is None else rate


def section_model(section: dict[str, Any]) -> str:
    """Protocol, and how its key comes about."""
    name = f"{section['protocol']}, {section['model']}"
    return name if section["secure"] else f"{name}, NOT SECURE"


def _issue(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    if arguments.site is not None:
        _require_site(arguments.site, layout)
    layout.make()
    sae, password = arguments.sae_id, _password(arguments)
    return _certify_with_key(
        arguments, lambda out: authority.issue_sae(layout.pki, sae, out, arguments.site, password), layout
    )


def _renew(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    sae, password = arguments.sae_id, _password(arguments)
    return _certify_with_key(arguments, lambda out: authority.renew_sae(layout.pki, sae, out, password), layout)


def _sign(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    if arguments.site is not None:
        _require_site(arguments.site, layout)
    try:
        request = read_signing_request(arguments.csr.read_bytes())
    except OSError as error:
        raise WrongRequest(f"--csr: {arguments.csr}: {error.strerror}") from error
    except KmsError as error:
        raise WrongRequest(f"--csr: {arguments.csr}: {error}") from error
    layout.make()
    sae = _certify(
        arguments.out,
        lambda out: authority.sign_sae(layout.pki, request, out, arguments.sae, arguments.site),
        layout,
        field="--csr",
    )
    return _say_where(arguments, sae, ("cert.pem", "ca.pem"))


def _password(arguments: argparse.Namespace) -> bytes | None:
    if not arguments.pkcs12:
        if arguments.password_file is not None:
            raise WrongRequest("--password-file: there is no password without --pkcs12")
        return None
    return read_password(arguments.password_file, "--password-file")


def _certify_with_key(arguments: argparse.Namespace, certify: Callable[[OwnDirectory], None], layout: Layout) -> int:
    _certify(arguments.out, certify, layout, field="SAE_ID")
    more = (PKCS12_FILE,) if arguments.pkcs12 else ()
    return _say_where(arguments, arguments.sae_id, ("cert.pem", "key.pem", "ca.pem", *more))


def _say_where(arguments: argparse.Namespace, sae: str, files: Sequence[str]) -> int:
    paths = {"pkcs12" if name == PKCS12_FILE else name.partition(".")[0]: str((arguments.out / name).resolve())
             for name in files}  # fmt: skip
    if arguments.json:
        print_json({"sae_id": sae, **paths})
    else:
        say(f"{sae}: " + ", ".join(paths.values()))
    return 0


def _certify(out: Path, certify: Callable[[OwnDirectory], _T], layout: Layout, field: str) -> _T:
    """``field``: what the authority's refusal is about."""
    if out.exists() and not out.is_dir():
        raise WrongRequest(f"--out: {out} is not a directory")
    caller = who_called_sudo()
    try:
        authority.ensure_ca(layout.pki)
        directory = OwnDirectory.make_trusted(out, None if caller is None else Owner(*caller))
    except KmsError as error:
        raise WrongRequest(f"--out: {error}") from error
    except OSError as error:
        raise _not_written(out, error) from error
    try:
        with directory:
            return certify(directory)
    except KmsError as error:
        raise WrongRequest(f"{field}: {error}") from error
    except OSError as error:
        raise _not_written(out, error) from error


def _not_written(out: Path, error: OSError) -> Exception:
    """A full disk may be that of the authority: it is told as such."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    return WrongRequest(f"--out: cannot write to {out}: {error.strerror}")


def _revoke(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    try:
        count = revoke_sae(layout.pki, arguments.sae_id)
    except KmsError as error:
        raise WrongRequest(f"SAE_ID: {error}") from error
    if arguments.json:
        print_json({"sae_id": arguments.sae_id, "revoked_certificates": count})
    else:
        say(f"{arguments.sae_id}: {count} certificates revoked; no KME serves it any more")
    return 0


def _list(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    saes = issued_saes(layout.pki)
    if arguments.json:
        print_json({"saes": [
            {"sae_id": sae.sae_id, "site": sae.site, "certificates": [
                {"serial": f"{each.serial:x}", "expires_at": _day(each.expires_at)} for each in sae.certificates
            ]}
            for sae in saes
        ]})  # fmt: skip
        return 0
    print_table("SAEs", ("SAE", "site", "certificates", "last until"), [
        (sae.sae_id, sae.site or "any", len(sae.certificates),
         _day(max((each.expires_at for each in sae.certificates), default=0.0)))
        for sae in saes
    ])  # fmt: skip
    return 0


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _where_the_authority_is(layout: Layout) -> Layout:
    """The CA that the KMEs of the run know, whichever checkout started it."""
    record = read_record(layout)
    return record.layout(layout) if record is not None and record.supervisor.is_alive() else layout


def _require_site(name: str, layout: Layout) -> None:
    """One of the run's; where nothing runs, a shipped topology's."""
    record = read_record(layout)
    if record is not None and record.supervisor.is_alive():
        sites, where = sorted(record.network.site_names), f"in {record.network.name}"
    else:
        sites = sorted({site for topology in CATALOG for site in load(topology).site_names})
        where = "in any shipped topology (for a file's, first bring it up)"
    if name not in sites:
        raise WrongRequest(f"--site: there is no site {name!r} {where}; there are {', '.join(sites)}")
