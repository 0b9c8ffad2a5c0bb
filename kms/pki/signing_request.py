"""A certificate signing request (PKCS#10, RFC 2986) from somebody else's device, read with care."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kms.errors import PkiError

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
_MOST_OCTETS = 64 << 10


@dataclass(frozen=True)
class SigningRequest:
    """Whose key it is, as the request says, and the key. What else it asks for does not count."""

    name: str
    key: PublicKey


def read_signing_request(content: bytes) -> SigningRequest:
    """From PEM or DER. PkiError where it is none, its holder has not the key, or the key is too weak."""
    if len(content) > _MOST_OCTETS:
        raise PkiError("a signing request is no longer than 64 KiB")
    try:
        is_pem = content.lstrip().startswith(b"-----BEGIN")
        request = x509.load_pem_x509_csr(content) if is_pem else x509.load_der_x509_csr(content)
        is_proved, key = request.is_signature_valid, request.public_key()
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # The library's parser of others' octets has errors of many kinds.
    except Exception as error:
        raise PkiError(f"it is no certificate signing request: {error}") from error
    if not is_proved:
        raise PkiError("its signature is not that of the key in it")
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise PkiError("its subject has not one common name, the SAE's id")
    if isinstance(key, rsa.RSAPublicKey):
        if not _LEAST_RSA_BITS <= key.key_size <= _MOST_RSA_BITS:
            raise PkiError(f"an RSA key of {key.key_size} bits: {_LEAST_RSA_BITS} to {_MOST_RSA_BITS} are taken")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise PkiError(f"a key for neither RSA nor ECDSA on {', '.join(_CURVES)}")
    return SigningRequest(names[0].value, key)
