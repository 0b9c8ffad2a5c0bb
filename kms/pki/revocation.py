"""Certificates that are no longer good: the authority's CRL (RFC 5280, clause 5), and the KMEs' view of it.

The KMEs look at the file before every request, so a certificate that is revoked ends its holder's access at once, on
connections that are open too.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization

from kms.errors import PkiError, RevocationsUnknownError
from kms.own_directory import write_whole
from kms.pki import authority as pki
from kms.pki.authority import CRL_FILE, REVOKED
from kms.pki.file_changes import FileChanges
from kms.pki.sae_register import find_issued

_log = logging.getLogger(__name__)

_CRL_LIFETIME = timedelta(days=3650)  # there is no distribution point: the KMEs read the file where it is written


def revoke_sae(pki_dir: Path | str, sae_id: str) -> int:
    """Revoke every certificate of an SAE and strike it off the register; how many certificates that were.

    PkiError when it is not registered.
    """
    directory = Path(pki_dir)
    with pki.locked(directory):
        known = find_issued(directory, sae_id)
        if known is None:
            raise PkiError(f"SAE {sae_id[:64]!r} is not registered")
        authority = pki.authority_of(directory)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.certificate.subject)
            .last_update(now)
            .next_update(now + _CRL_LIFETIME)
        )
        earlier = read_crl(directory / CRL_FILE, authority.certificate)
        revoked = {entry.serial_number: entry.revocation_date_utc for entry in earlier or ()}
        revoked |= {each.serial: now for each in known.certificates if each.serial not in revoked}
        for serial, at in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(authority.key, hashes.SHA256())
        write_whole(directory / CRL_FILE, signed.public_bytes(serialization.Encoding.PEM), 0o644)
        (directory / REVOKED).mkdir(mode=0o700, exist_ok=True)
        (directory / "saes" / f"{sae_id}.json").replace(directory / REVOKED / f"{sae_id}.json")
    return len(known.certificates)


def read_crl(path: Path, authority: x509.Certificate) -> x509.CertificateRevocationList | None:
    """The CRL; None when nobody was ever revoked. PkiError when it is missing, damaged or not this authority's."""
    remedy = f"restore it from a copy, or remove {path.parent} for a new authority and new certificates"
    try:
        crl = x509.load_pem_x509_crl(path.read_bytes())
    except FileNotFoundError:
        if any((path.parent / REVOKED).glob("*.json")):
            raise PkiError(f"{path} is missing, though certificates were revoked: {remedy}") from None
        return None
    except (OSError, ValueError) as error:
        raise PkiError(f"{path}: {error}: {remedy}") from error
    try:
        is_signed = crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        is_signed = False
    if not is_signed:
        raise PkiError(f"{path}: it is not signed by this authority: {remedy}")
    return crl


class Revocations:
    """The KMEs' view of the CRL. While it cannot be read or trusted no certificate passes for good."""

    def __init__(self, pki_dir: Path | str) -> None:
        self._directory = Path(pki_dir)
        self._changes = FileChanges(self._directory / CRL_FILE)
        self._serials: frozenset[int] = frozenset()
        self.problem: str | None = None
        """Why the list cannot be used now."""

    def is_revoked(self, serial: int) -> bool:
        """RevocationsUnknownError when that cannot be said, as the list is not to be used now."""
        try:
            self.check()
        except PkiError:
            # What was on the last good list is known whatever has become of it.
            if serial not in self._serials:
                raise RevocationsUnknownError("the list of revoked certificates cannot be used now") from None
        return serial in self._serials

    def check(self) -> None:
        """Read the list if it has changed, or could not be read before. PkiError when it is not to be used."""
        try:
            if self._changes.noticed():
                self._load()
        except (PkiError, OSError, ValueError) as error:
            self._changes.forget()
            if str(error) != self.problem:
                self.problem = str(error)
                _log.error("nobody is let in on a certificate: %s", error)
            raise error if isinstance(error, PkiError) else PkiError(str(error)) from error

    def _load(self) -> None:
        authority = x509.load_pem_x509_certificate((self._directory / "ca.pem").read_bytes())
        crl = read_crl(self._directory / CRL_FILE, authority)
        if crl is None and self._serials:
            raise PkiError(f"{self._directory / CRL_FILE} is missing, though certificates were revoked")
        if crl is not None:
            self._serials = frozenset(entry.serial_number for entry in crl)
        if self.problem is not None:
            _log.warning("the list of revoked certificates is in use again")
            self.problem = None
