"""Diffie-Hellman between two KMEs: X25519 and X448 (RFC 7748), curves of NIST, or finite-field groups (RFC 7919).

Paper 002 protects a channel with TLS 1.2's key exchange, of finite fields (DHE) or NIST's curves (ECDHE, RFC 8422);
X25519 is what is used today. Every exchange is ephemeral at both ends. None of them withstands a quantum computer: that
is what the other sources are for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import dh, ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from kms.errors import ExchangeError
from kms.sources import ffdhe


class DhEndpoint(Protocol):
    """One end of one exchange: an ephemeral private value that is used once."""

    public: bytes

    def secret_with(self, peer_public: bytes) -> bytes:
        """The raw shared secret; ExchangeError when the peer's public value is not a legal one."""


class MontgomeryEndpoint:
    """X25519 or X448."""

    def __init__(self, name: str, private: Any, public: Any) -> None:
        self._name, self._public = name, public
        self._private = private.generate()
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def secret_with(self, peer_public: bytes) -> bytes:
        try:
            # Also refuses small-order points, whose secret is all zeros (RFC 7748, 6.1 and 6.2).
            return bytes(self._private.exchange(self._public.from_public_bytes(peer_public)))
        except ValueError as error:
            raise ExchangeError(f"{self._name}: the peer's public value is not valid") from error


class NistEndpoint:
    """A curve of NIST; public values are uncompressed points (RFC 8422, 5.4)."""

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._curve = curve
        self._private = ec.generate_private_key(curve)
        self.public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def secret_with(self, peer_public: bytes) -> bytes:
        try:
            if len(peer_public) != len(self.public):
                raise ValueError
            # Refuses what is not on the curve; its order is prime, so there are no small subgroups.
            return self._private.exchange(
                ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self._curve, peer_public)
            )
        except ValueError as error:
            raise ExchangeError(f"{self._curve.name}: the peer's public value is not valid") from error


@contextmanager
def _deprecation_accepted() -> Iterator[None]:
    """cryptography announces the end of finite-field DH; it is here because paper 002's TLS 1.2 uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@cache
def _parameters(name: str) -> dh.DHParameters:
    group = ffdhe.group(name)
    with _deprecation_accepted():
        return dh.DHParameterNumbers(group.prime, ffdhe.GENERATOR, group.order).parameters()


class FiniteFieldEndpoint:
    """A group of RFC 7919."""

    def __init__(self, name: str) -> None:
        self._group = ffdhe.group(name)
        self._private = _parameters(name).generate_private_key()
        self.public = self._private.public_key().public_numbers().y.to_bytes(self._group.size, "big")

    def secret_with(self, peer_public: bytes) -> bytes:
        value, group = int.from_bytes(peer_public, "big"), self._group
        # RFC 7919, 5.1: in a safe-prime group 1 < y < p - 1 leaves no small subgroup.
        if len(peer_public) != group.size or not 1 < value < group.prime - 1:
            raise ExchangeError(f"{group.name}: the peer's public value is not valid")
        parameters = self._private.parameters().parameter_numbers()
        try:
            with _deprecation_accepted():
                return self._private.exchange(dh.DHPublicNumbers(value, parameters).public_key())
        except ValueError as error:
            raise ExchangeError(f"{group.name}: the peer's public value is not valid") from error


DH_GROUPS: dict[str, Callable[[], DhEndpoint]] = {
    "x25519": partial(MontgomeryEndpoint, "x25519", x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "x448": partial(MontgomeryEndpoint, "x448", x448.X448PrivateKey, x448.X448PublicKey),
    "secp256r1": partial(NistEndpoint, ec.SECP256R1()),
    "secp384r1": partial(NistEndpoint, ec.SECP384R1()),
    **{name: partial(FiniteFieldEndpoint, name) for name in ffdhe.NAMES},
}


class DhSource:
    """The DH mechanism. ``group`` is a key of :data:`DH_GROUPS`. Both ends' values are used once."""

    def __init__(self, group: str = "x25519") -> None:
        self.algorithm = group
        self._endpoint = DH_GROUPS[group]

    def offer(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        endpoint = self._endpoint()
        return endpoint.public, endpoint.secret_with

    def answer(self, offered: bytes) -> tuple[bytes, bytes]:
        endpoint = self._endpoint()
        return endpoint.public, endpoint.secret_with(offered)
