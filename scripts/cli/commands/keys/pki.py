"""``pki``: certificates for the KMS' clients."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from kms.errors import KmsError
from kms.own_directory import OwnDirectory, Owner
from kms.pki import authority
from kms.pki.credentials import PKCS12_FILE
from kms.pki.revocation import revoke_sae
from kms.pki.sae_register import issued_saes
from kms.pki.signing_request import read_signing_request
from scripts.cli.handlers import Handlers
from scripts.cli.passwords import read_password
from scripts.console.output import print_json, print_table, say
from scripts.errors import WrongRequest
from scripts.files.caller import who_called_sudo
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import read_record
from topologies.catalog import CATALOG, load

_T = TypeVar("_T")


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


HANDLERS: Handlers = {
    "pki issue": _issue,
    "pki sign": _sign,
    "pki renew": _renew,
    "pki revoke": _revoke,
    "pki list": _list,
}
