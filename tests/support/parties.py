"""KMEs as partners in key exchanges, with certificates of an authority that lives in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.oid import NameOID

from kms.keys.key import Source
from kms.pki.authority import KME_URN, ML_DSA_LABEL
from kms.pki.kme_identity import ECDSA, ECDSA_AND_ML_DSA, KmeDirectory, KmeIdentity
from kms.sources.agreement import Mechanism, framed
from kms.sources.dh import DhSource
from kms.sources.exchange import Party
from kms.sources.kems import SNTRUP761, PqcryptoKem
from kms.sources.qra import QraSource


class Authority:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.certify("CA", self.key.public_key(), ())
        self.revoked: set[int] = set()

    def certify(self, name: str, key: ec.EllipticCurvePublicKey, uris: Iterable[str]) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer,
            subject,
            key,
            x509.random_serial_number(),
            now - timedelta(days=99_999 // 5),
            now + timedelta(days=9),
        )
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def identity(self, kme_id: str, algorithm: str = ECDSA, urn: str = KME_URN) -> KmeIdentity:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certify(kme_id, key.public_key(), [urn + kme_id])
        parts = [certificate.public_bytes(serialization.Encoding.DER)]
        ml_dsa = None
        if algorithm == ECDSA_AND_ML_DSA:
            ml_dsa = mldsa.MLDSA65PrivateKey.generate()
            public = ml_dsa.public_key().public_bytes_raw()
            certified = ML_DSA_LABEL + framed(kme_id.encode(), public)
            parts += [public, self.key.sign(certified, ec.ECDSA(hashes.SHA256()))]
        return KmeIdentity(algorithm, framed(*parts), key, ml_dsa)

    def directory(self, sites: Iterable[str], algorithm: str = ECDSA) -> KmeDirectory:
        ids = {site: f"kme-{site}" for site in sites}
        return KmeDirectory(self.certificate, ids, algorithm, self.revoked.__contains__)


def every_mechanism() -> dict[Source, Mechanism]:
    return {Source.DH: DhSource(), Source.QRA: QraSource(PqcryptoKem(SNTRUP761))}


def parties(
    sites: Iterable[str], mechanisms: Callable[[], Mapping[Source, Mechanism]] = every_mechanism, algorithm: str = ECDSA
) -> dict[str, Party]:
    """A partner for each site; the KME of site X is ``kme-X``."""
    authority, names = Authority(), tuple(sites)
    directory = authority.directory(names, algorithm)
    return {
        site: Party(site, mechanisms(), authority.identity(f"kme-{site}", algorithm), directory, os.urandom)
        for site in names
    }
