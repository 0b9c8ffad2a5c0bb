"""The private certificate authority: ECDSA P-256 certificates for KMEs, SAEs and the controller's OpenFlow channel.

Layout of a PKI directory (0700, keys 0600)::

    ca.key, ca.pem          the authority: its key, and the certificate that is made from it
    saes/<SAE id>.json      the register of issued SAEs: who is known, to which site it is bound, its certificates
    crl.pem                 the certificates that were revoked (kms.pki.revocation); absent until the first is
    revoked/<SAE id>.json   what the register said of them: where there are any, crl.pem must not be missing
    lock                    held while the authority or the register changes

An SAE's certificate has its id as common name and, so that no other certificate of this authority passes for one, the
URI ``urn:qslice:sae:<id>``; one that is bound to a site has ``urn:qslice:site:<site>`` as well.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kms.errors import PkiError
from kms.keys.sae_id import is_sae_id
from kms.own_directory import OwnDirectory, write_whole
from kms.pki.credentials import private_pem, write_certificate, write_credentials
from kms.pki.sae_register import Certificate, IssuedSae, find_issued, write_record
from kms.pki.signing_request import PublicKey, SigningRequest

SAE_URN = "urn:qslice:sae:"
SITE_URN = "urn:qslice:site:"
KME_URN = "urn:qslice:kme:"
CRL_FILE, REVOKED = "crl.pem", "revoked"
ML_DSA_LABEL = b"qslice kme ml-dsa-65 public key"

_CA_LIFETIME = timedelta(days=3650)
_LEAF_LIFETIME = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)
# Certificates of a private authority may begin before they were made. So a machine whose clock was ahead then is not
# locked out when it is set right.
_BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def ensure_ca(pki_dir: Path | str) -> Path:
    """Make the authority unless there is one that lasts; the path of its certificate. PkiError when it is damaged."""
    directory = Path(pki_dir)
    with locked(directory):
        authority_of(directory)
    return directory / "ca.pem"


def issue_sae(
    pki_dir: Path | str,
    sae_id: str,
    out_dir: Path | OwnDirectory,
    site: str | None = None,
    password: bytes | None = None,
) -> None:
    """Certify an SAE: ``cert.pem``, ``key.pem`` and ``ca.pem`` in ``out_dir``, and an entry in the register.

    A path is that of a directory of our own; one that somebody named comes as :meth:`OwnDirectory.make_trusted`.
    With ``password`` there is a PKCS#12 file under it too.

    An SAE without ``site`` may use any KME. PkiError for an id that is none.
    """
    with locked(Path(pki_dir)):
        _issue_locked(Path(pki_dir), sae_id, out_dir, site, password)


def _issue_locked(
    directory: Path, sae_id: str, out_dir: Path | OwnDirectory, site: str | None, password: bytes | None
) -> None:
    names = _names_of_sae(sae_id, site)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    issued = _write_leaf(authority_of(directory), out_dir, sae_id, names, usages, password)
    _enter(directory, sae_id, site, issued)


def sign_sae(
    pki_dir: Path | str, request: SigningRequest, out_dir: OwnDirectory, sae_id: str | None, site: str | None
) -> str:
    """Certify the key of somebody who keeps it: ``cert.pem`` and ``ca.pem``; the SAE's id.

    Of the request the key alone is taken, and the name where ``sae_id`` is None: not one that is registered, which
    its owner may not have asked for. An SAE that is registered keeps its site unless one is given.
    """
    directory = Path(pki_dir)
    with locked(directory):
        name = request.name if sae_id is None else sae_id
        known = find_issued(directory, name)
        if known is not None and sae_id is None:
            raise PkiError(f"the request is for {name!r}, who is registered: if it is theirs, say so with --sae {name}")
        site = site if site is not None or known is None else known.site
        authority = authority_of(directory)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        issued = _certify_leaf(authority, request.key, name, _names_of_sae(name, site), usages)
        write_certificate(out_dir, issued, authority.certificate)
        _enter(directory, name, site, issued)
    return name


def _names_of_sae(sae_id: str, site: str | None) -> list[x509.GeneralName]:
    if not is_sae_id(sae_id):
        raise PkiError(f"SAE id {sae_id!r}: letters, digits, dots, underscores and hyphens, at most 64, no dot first")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(SAE_URN + sae_id)]
    if site is not None:
        if not is_sae_id(site):
            raise PkiError(f"site {site!r} of SAE {sae_id}: not a site's name")
        names.append(x509.UniformResourceIdentifier(SITE_URN + site))
    return names


def _enter(directory: Path, sae_id: str, site: str | None, issued: x509.Certificate) -> None:
    """Into the register, beside the SAE's other certificates. What has expired is no more worth revoking."""
    now = datetime.now(UTC).timestamp()
    known = find_issued(directory, sae_id)
    earlier = tuple(each for each in known.certificates if each.expires_at > now) if known is not None else ()
    newest = Certificate(issued.serial_number, issued.not_valid_after_utc.timestamp())
    write_record(directory, IssuedSae(sae_id, site, (*earlier, newest)))


def renew_sae(pki_dir: Path | str, sae_id: str, out_dir: Path | OwnDirectory, password: bytes | None = None) -> None:
    """A new certificate and key for an SAE that is in the register; what it has stays good until it expires."""
    directory = Path(pki_dir)
    # One look and one lock: whoever withdraws or moves the SAE meanwhile comes before or after, and is not undone.
    with locked(directory):
        known = find_issued(directory, sae_id)
        if known is None:
            raise PkiError(f"SAE {sae_id[:64]!r} is not registered: issue it a certificate")
        _issue_locked(directory, sae_id, out_dir, known.site, password)


def issue_server(pki_dir: Path | str, name: str, hosts: Sequence[str], out_dir: Path | str) -> None:
    """Certify a server that is also a client (OpenFlow, controller) under ``name`` and ``hosts`` (addresses or names).

    Keeps what is in ``out_dir`` when it is still good. Writes cert.pem, key.pem, ca.pem.
    """
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    _ensure_leaf(Path(pki_dir), name, hosts, Path(out_dir), usages)


def issue_kme(pki_dir: Path | str, kme_id: str, hosts: Sequence[str], out_dir: Path | str) -> None:
    """Certify a KME's server side. Keeps what is in ``out_dir`` when it is still good."""
    _ensure_leaf(Path(pki_dir), kme_id, [kme_id, *hosts], Path(out_dir), [ExtendedKeyUsageOID.SERVER_AUTH])


def issue_peer(pki_dir: Path | str, kme_id: str, hosts: Sequence[str], out_dir: Path | str) -> None:
    """Certify a KME towards the other KMEs, as server and client. Keeps what is in ``out_dir`` when it is still good.

    Writes what :func:`issue_server` does, and ``mldsa.key`` (the seed of an ML-DSA-65 key) and ``mldsa.sig``, the
    authority's signature over the KME's id and that key's public half.
    """
    directory, out = Path(pki_dir), Path(out_dir)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    _ensure_leaf(directory, kme_id, [KME_URN + kme_id, kme_id, *hosts], out, usages)
    with locked(directory):
        authority = authority_of(directory)
        key_path = out / "mldsa.key"
        if not key_path.exists():
            write_whole(key_path, mldsa.MLDSA65PrivateKey.generate().private_bytes_raw(), 0o600)
        public = mldsa.MLDSA65PrivateKey.from_seed_bytes(key_path.read_bytes()).public_key().public_bytes_raw()
        parts = (kme_id.encode(), public)
        certified = ML_DSA_LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        signature = authority.key.sign(certified, ec.ECDSA(hashes.SHA256()))
        write_whole(out / "mldsa.sig", signature, 0o644)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One at a time may change the authority, the register or the CRL."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def authority_of(directory: Path) -> Authority:
    """The authority, made where there is none. PkiError when it is damaged.

    The key comes first and lasts; its certificate is made from it, also when it is missing (its maker was killed in
    between) or its time is nearly up. So there is no state that a later call could not complete.
    """
    certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
    if not key_path.exists():
        if certificate_path.exists():
            raise PkiError(f"{key_path} is missing: remove the directory to start a new authority")
        # Another key: what an earlier authority has certified is void, and so is what it said of that.
        remove_revocations(directory)
        write_whole(key_path, private_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{key_path}: not a key of an elliptic curve")
        if not certificate_path.exists():
            return _certified(certificate_path, key)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (ValueError, OSError) as error:
        raise PkiError(f"{directory}: its authority cannot be read: {error}") from error
    if key.public_key() != certificate.public_key():
        raise PkiError(f"{directory}: ca.key is not the key of ca.pem")
    _require_begun(certificate, directory)
    return Authority(certificate, key) if _lasts(certificate) else _certified(certificate_path, key)


def _certified(certificate_path: Path, key: ec.EllipticCurvePrivateKey) -> Authority:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "QSlice private CA")])
    usage = x509.KeyUsage(
        digital_signature=False, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key.public_key(), _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(certificate, key)
    write_whole(certificate_path, authority.pem, 0o644)
    return authority


def remove_revocations(directory: Path) -> None:
    (directory / CRL_FILE).unlink(missing_ok=True)
    for record in (directory / REVOKED).glob("*.json"):
        record.unlink(missing_ok=True)


def _ensure_leaf(
    directory: Path, name: str, hosts: Sequence[str], out_dir: Path, usages: list[x509.ObjectIdentifier]
) -> None:
    names = [_general_name(host) for host in dict.fromkeys(hosts)]
    with locked(directory):
        authority = authority_of(directory)
        if not _is_good_leaf(authority, out_dir, name, names):
            _write_leaf(authority, out_dir, name, names, usages)


def _is_good_leaf(authority: Authority, out_dir: Path, name: str, names: list[x509.GeneralName]) -> bool:
    """Whether ``out_dir`` holds a certificate of this authority for exactly these names, its key, and time left."""
    try:
        certificate = x509.load_pem_x509_certificate((out_dir / "cert.pem").read_bytes())
        key = serialization.load_pem_private_key((out_dir / "key.pem").read_bytes(), None)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(authority.certificate)
        ca_is_current = (out_dir / "ca.pem").read_bytes() == authority.pem
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        ca_is_current
        and _lasts(certificate)
        and key.public_key() == certificate.public_key()
        and certificate.subject == _common_name(name)
        and list(alternatives) == names
    )


def _write_leaf(
    authority: Authority,
    out_dir: Path | OwnDirectory,
    name: str,
    names: list[x509.GeneralName],
    usages: list[x509.ObjectIdentifier],
    password: bytes | None = None,
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certify_leaf(authority, key.public_key(), name, names, usages)
    if isinstance(out_dir, Path):
        with OwnDirectory.make(out_dir) as own:
            write_credentials(own, key, certificate, authority.certificate, password)
    else:
        write_credentials(out_dir, key, certificate, authority.certificate, password)
    return certificate


def _certify_leaf(
    authority: Authority,
    key: PublicKey,
    name: str,
    names: list[x509.GeneralName],
    usages: list[x509.ObjectIdentifier],
) -> x509.Certificate:
    issuer_key = authority.key.public_key()
    return (
        _builder(_common_name(name), authority.certificate.subject, key, _LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(_BEGINNING, now - _CLOCK_SKEW))
        .not_valid_after(now + lifetime)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    if host.startswith("urn:"):
        return x509.UniformResourceIdentifier(host)
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _lasts(certificate: x509.Certificate) -> bool:
    """Whether it is valid now and for a while."""
    now = datetime.now(UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_BEFORE


def _require_begun(authority: x509.Certificate, directory: Path) -> None:
    """A new authority would void all certificates that people hold: whether the clock was wrong then or is now is
    theirs to say.
    """
    now, begins = datetime.now(UTC), authority.not_valid_before_utc
    if begins > now:
        raise PkiError(
            f"{directory / 'ca.pem'} is valid from {begins:%Y-%m-%d %H:%M} UTC on, and this machine's clock says "
            f"{now:%Y-%m-%d %H:%M}: set the clock; if it was wrong when the authority was made, remove {directory} for "
            "a new one, and issue the SAEs' certificates anew"
        )
