"""What a holder of a certificate is given: PEM files, and where it is asked for a PKCS#12 file (RFC 7292)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from kms.own_directory import OwnDirectory

PKCS12_FILE = "sae.p12"


def write_credentials(
    out: OwnDirectory,
    key: ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
    authority: x509.Certificate,
    password: bytes | None = None,
) -> None:
    """``key.pem`` (not encrypted, 0600), ``cert.pem``, ``ca.pem``; with a password all three in ``sae.p12`` too."""
    out.write("key.pem", private_pem(key), 0o600)
    write_certificate(out, certificate, authority)
    if password is not None:
        protection = serialization.BestAvailableEncryption(password)
        name = certificate.subject.rfc4514_string().removeprefix("CN=").encode()
        store = pkcs12.serialize_key_and_certificates(name, key, certificate, [authority], protection)
        out.write(PKCS12_FILE, store, 0o600)


def write_certificate(out: OwnDirectory, certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """``cert.pem`` and ``ca.pem``: for a holder who made the key."""
    out.write("cert.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    out.write("ca.pem", authority.public_bytes(serialization.Encoding.PEM), 0o644)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
