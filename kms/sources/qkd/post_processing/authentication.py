"""Authentication of the classical channel with one-time keys (Wegman and Carter 1981).

The universal hash is Poly1305 (RFC 8439, 2.5) with a key that is used for one message: then its security needs no
assumption. A forgery succeeds with a probability below 8 ceil(L / 16) / 2^106 for L bytes.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from kms.errors import ExchangeError

ONE_TIME_KEY_BYTES = 32
TAG_BYTES = 16


def tag(one_time_key: bytes, message: bytes) -> bytes:
    return Poly1305.generate_tag(one_time_key, message)


def check(one_time_key: bytes, message: bytes, received_tag: bytes, what: str) -> None:
    """ExchangeError, naming ``what``, when the tag is not that of the message under this key."""
    try:
        Poly1305.verify_tag(one_time_key, message, received_tag)
    except InvalidSignature:
        raise ExchangeError(f"{what}: the authentication tag does not verify") from None
