"""``pki``: certificates for the KMS' clients."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kms.errors import KmsError
from kms.own_directory import OwnDirectory, Owner
from kms.pki import authority
from kms.pki.revocation import revoke_sae
from scripts.cli.handlers import Handlers
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.files.caller import who_called_sudo
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import read_record
from topologies.catalog import CATALOG, load


def _issue(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    if arguments.site is not None:
        _require_site(arguments.site, layout)
    layout.make()
    return _certify(
        arguments, lambda out: authority.issue_sae(layout.pki, arguments.sae_id, out, site=arguments.site), layout
    )


def _renew(arguments: argparse.Namespace, layout: Layout) -> int:
    layout = _where_the_authority_is(layout)
    return _certify(arguments, lambda out: authority.renew_sae(layout.pki, arguments.sae_id, out), layout)


def _certify(arguments: argparse.Namespace, certify: Callable[[OwnDirectory], None], layout: Layout) -> int:
    out: Path = arguments.out
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
            certify(directory)
    except KmsError as error:
        raise WrongRequest(f"SAE_ID: {error}") from error
    except OSError as error:
        raise _not_written(out, error) from error
    paths = {name: str((out / f"{name}.pem").resolve()) for name in ("cert", "key", "ca")}
    if arguments.json:
        print_json({"sae_id": arguments.sae_id, **paths})
    else:
        say(f"{arguments.sae_id}: " + ", ".join(paths.values()))
    return 0


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
    saes = authority.issued_saes(layout.pki)
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


HANDLERS: Handlers = {
    "pki issue": _issue,
    "pki renew": _renew,
    "pki revoke": _revoke,
    "pki list": _list,
}
