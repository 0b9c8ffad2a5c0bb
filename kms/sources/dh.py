"""Diffie-Hellman between two KMEs: X25519 (RFC 7748) or the finite-field group ffdhe3072 (RFC 7919).

Paper 002 protects a channel with TLS 1.2's DHE, hence the finite-field group; X25519 is what is used today. Every
exchange is ephemeral at both ends. Neither withstands a quantum computer: that is what the other sources are for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import dh, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from kms.errors import ExchangeError

# RFC 7919, appendix A.2; its bit pattern is tested against the formula given there.
FFDHE3072_PRIME = int(
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9"
    "7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935"
    "984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB"
    "B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61"
    "9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA"
    "886B4238611FCFDCDE355B3B6519035BBC34F4DEF99C023861B46FC9D6E6C9077AD91D2691F7F7EE598CB0FAC186D91C"
    "AEFE130985139270B4130C93BC437944F4FD4452E2D74DD364F2E21E71F54BFF5CAE82AB9C9DF69EE86D2BC522363A0D"
    "ABC521979B0DEADA1DBF9A42D5C4484E0ABCD06BFA53DDEF3C1B20EE3FD59D7C25E41D2B66C62E37FFFFFFFFFFFFFFFF",
    16,
)
FFDHE3072_GENERATOR = 2
_FFDHE3072_BYTES = 384


class DhEndpoint(Protocol):
    """One end of one exchange: an ephemeral private value that is used once."""

    public: bytes

    def secret_with(self, peer_public: bytes) -> bytes:
        """The raw shared secret; ExchangeError when the peer's public value is not a legal one."""


class X25519Endpoint:
    def __init__(self) -> None:
        self._private = x25519.X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def secret_with(self, peer_public: bytes) -> bytes:
        try:
            # Also refuses small-order points, whose secret is all zeros (RFC 7748, 6.1).
            return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:
            raise ExchangeError("X25519: the peer's public value is not valid") from error


@contextmanager
def _deprecation_accepted() -> Iterator[None]:
    """cryptography announces the end of finite-field DH; it is here because paper 002's TLS 1.2 uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@cache
def _ffdhe3072_parameters() -> dh.DHParameters:
    with _deprecation_accepted():
        order = (FFDHE3072_PRIME - 1) // 2
        return dh.DHParameterNumbers(FFDHE3072_PRIME, FFDHE3072_GENERATOR, order).parameters()


class Ffdhe3072Endpoint:
    def __init__(self) -> None:
        self._private = _ffdhe3072_parameters().generate_private_key()
        value = self._private.public_key().public_numbers().y
        self.public = value.to_bytes(_FFDHE3072_BYTES, "big")

    def secret_with(self, peer_public: bytes) -> bytes:
        value = int.from_bytes(peer_public, "big")
        # RFC 7919, 5.1: in a safe-prime group 1 < y < p - 1 leaves no small subgroup.
        if len(peer_public) != _FFDHE3072_BYTES or not 1 < value < FFDHE3072_PRIME - 1:
            raise ExchangeError("ffdhe3072: the peer's public value is not valid")
        parameters = self._private.parameters().parameter_numbers()
        try:
            with _deprecation_accepted():
                return self._private.exchange(dh.DHPublicNumbers(value, parameters).public_key())
        except ValueError as error:
            raise ExchangeError("ffdhe3072: the peer's public value is not valid") from error


DH_GROUPS: dict[str, type[X25519Endpoint] | type[Ffdhe3072Endpoint]] = {
    "x25519": X25519Endpoint,
    "ffdhe3072": Ffdhe3072Endpoint,
}


class DhSource:
    """The DH mechanism. ``group`` is a key of :data:`DH_GROUPS`. Both ends' values are used once."""

    def __init__(self, group: str = "x25519") -> None:
        self.algorithm = group
        self._endpoint = DH_GROUPS[group]

    def offer(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        endpoint: DhEndpoint = self._endpoint()
        return endpoint.public, endpoint.secret_with

    def answer(self, offered: bytes) -> tuple[bytes, bytes]:
        endpoint: DhEndpoint = self._endpoint()
        return endpoint.public, endpoint.secret_with(offered)
