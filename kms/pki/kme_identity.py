"""Who a KME is to the other KMEs: its certificate, what it signs with it, and how others check that.

``ecdsa-p256`` signs with the certificate's key alone. ``ecdsa-p256+ml-dsa-65`` adds a signature by ML-DSA (FIPS 204),
whose public key the authority has certified beside the certificate; both have to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from kms.errors import ExchangeError, PkiError
from kms.pki.authority import KME_URN, ML_DSA_LABEL
from kms.sources.agreement import framed, unframed

ECDSA, ECDSA_AND_ML_DSA = "ecdsa-p256", "ecdsa-p256+ml-dsa-65"
_HASH = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class KmeIdentity:
    """A KME's own keys. The credential is its certificate, and with ML-DSA that public key and its certification."""

    algorithm: str
    credential: bytes
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _ml_dsa: mldsa.MLDSA65PrivateKey | None = field(default=None, repr=False)

    @classmethod
    def load(cls, directory: Path, algorithm: str) -> KmeIdentity:
        """From the files that :func:`kms.pki.authority.issue_peer` made; PkiError when they cannot be used."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "key.pem").read_bytes(), None)
            parts = [certificate.public_bytes(serialization.Encoding.DER)]
            ml_dsa = None
            if algorithm == ECDSA_AND_ML_DSA:
                ml_dsa = mldsa.MLDSA65PrivateKey.from_seed_bytes((directory / "mldsa.key").read_bytes())
                parts += [ml_dsa.public_key().public_bytes_raw(), (directory / "mldsa.sig").read_bytes()]
        except (OSError, ValueError) as error:
            raise PkiError(f"{directory}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{directory}: not a key of P-256")
        return cls(algorithm, framed(*parts), key, ml_dsa)

    def sign(self, message: bytes) -> bytes:
        signatures = [self._key.sign(message, _HASH)]
        if self._ml_dsa is not None:
            signatures.append(self._ml_dsa.sign(message))
        return framed(*signatures)


@dataclass(frozen=True)
class _Known:
    """A credential that was checked: whose it is, until when, and the keys in it."""

    kme_id: str
    serial: int
    not_before: float
    not_after: float
    key: ec.EllipticCurvePublicKey
    ml_dsa: mldsa.MLDSA65PublicKey | None


class KmeDirectory:
    """The KMEs that this one talks to: ids by site, under one authority."""

    def __init__(
        self, authority: x509.Certificate, kme_ids: Mapping[str, str], algorithm: str,
        is_revoked: Callable[[int], bool],
    ) -> None:  # fmt: skip
        self._authority = authority
        self._kme_ids = dict(kme_ids)
        self._algorithm = algorithm
        self._is_revoked = is_revoked
        self._known: dict[bytes, _Known] = {}

    def verify(self, site: str, credential: bytes, message: bytes, signature: bytes, now: float) -> None:
        """ExchangeError unless the KME of ``site`` signed ``message`` with keys that are good now."""
        known = self._known.get(credential)
        if known is None:
            known = self._check(credential)
            if len(self._known) > 4 * len(self._kme_ids):
                self._known.clear()
            self._known[credential] = known
        if known.kme_id != self._kme_ids.get(site):
            raise ExchangeError(f"a message comes with a certificate that is not that of the KME of {site[:64]!r}")
        if not known.not_before <= now <= known.not_after or self._is_revoked(known.serial):
            remedy = ": it is not valid yet: set the clock, or restart its KMS" if now < known.not_before else ""
            raise ExchangeError(f"the certificate of the KME of {site} is not in force{remedy}")
        parts = unframed(signature, 1 if known.ml_dsa is None else 2)
        try:
            known.key.verify(parts[0], message, _HASH)
            if known.ml_dsa is not None:
                known.ml_dsa.verify(parts[1], message)
        except InvalidSignature:
            raise ExchangeError(f"a message is not signed by the KME of {site}") from None

    def _check(self, credential: bytes) -> _Known:
        parts = unframed(credential, 3 if self._algorithm == ECDSA_AND_ML_DSA else 1)
        try:
            certificate = x509.load_der_x509_certificate(parts[0])
            certificate.verify_directly_issued_by(self._authority)
            kme_id = kme_id_of(certificate)
            key = certificate.public_key()
            if kme_id is None or not isinstance(key, ec.EllipticCurvePublicKey):
                raise ExchangeError("a certificate is not a KME's")
            ml_dsa = None
            if len(parts) > 1:
                issuer = self._authority.public_key()
                assert isinstance(issuer, ec.EllipticCurvePublicKey)
                issuer.verify(parts[2], ML_DSA_LABEL + framed(kme_id.encode(), parts[1]), _HASH)
                ml_dsa = mldsa.MLDSA65PublicKey.from_public_bytes(parts[1])
        except (ValueError, TypeError, InvalidSignature):
            raise ExchangeError("a KME's certificate is not of this authority") from None
        since, until = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        return _Known(kme_id, certificate.serial_number, since, until, key, ml_dsa)


def kme_id_of(certificate: x509.Certificate) -> str | None:
    """The KME that a certificate names by its URI; None when it is not a KME's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    ids = [uri.removeprefix(KME_URN) for uri in uris if uri.startswith(KME_URN)]
    return ids[0] if len(ids) == 1 else None
