"""Quantum-resistant key agreement between two KMEs: a key encapsulation mechanism of the NTRU family.

liboqs' NTRU is used where the C library is installed, else Streamlined NTRU Prime (sntrup761, the mechanism of
OpenSSH) from ``pqcrypto``. The responder's key pair serves several encapsulations, which a KEM that is secure against
chosen ciphertexts allows, and is then replaced, so that a key pair lost later opens little.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kms.errors import ExchangeError
from kms.keys import Route
from kms.sources.agreement import AgreedKey, agree_in_batches, derive_key

_log = logging.getLogger(__name__)

LIBOQS_MECHANISMS = ("NTRU-HPS-2048-677", "NTRU-HRSS-701", "NTRU-HPS-4096-821", "sntrup761")
# Making a key pair costs about 60 encapsulations.
KEY_PAIR_USES = 64


class Kem(Protocol):
    """A key encapsulation mechanism."""

    algorithm: str

    def generate(self) -> tuple[bytes, bytes]:
        """A public and a private key."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A ciphertext and the secret in it; ExchangeError for a public key that is not one."""

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        """The secret in ``ciphertext``; for a forged one, a secret that nobody else has (implicit rejection)."""


class Sntrup761:
    """Streamlined NTRU Prime from pqcrypto."""

    algorithm = "sntrup761"

    def __init__(self) -> None:
        from pqcrypto.kem import sntrup_761

        self._kem = sntrup_761

    def generate(self) -> tuple[bytes, bytes]:
        public, private = self._kem.keygen()
        return bytes(public), bytes(private)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        if len(public) != self._kem.PUBLIC_KEY_SIZE:
            raise ExchangeError(f"{self.algorithm}: a public key of {len(public)} bytes")
        ciphertext, secret = self._kem.encaps(public)
        return bytes(ciphertext), bytes(secret)

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        if len(ciphertext) != self._kem.CIPHERTEXT_SIZE:
            raise ExchangeError(f"{self.algorithm}: a ciphertext of {len(ciphertext)} bytes")
        return bytes(self._kem.decaps(private, ciphertext))


class LiboqsKem:
    """A mechanism of liboqs, through liboqs-python."""

    def __init__(self, oqs: Any, algorithm: str) -> None:
        self._oqs = oqs
        self.algorithm = algorithm

    def generate(self) -> tuple[bytes, bytes]:
        with self._oqs.KeyEncapsulation(self.algorithm) as kem:
            public = kem.generate_keypair()
            return bytes(public), bytes(kem.export_secret_key())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        with self._oqs.KeyEncapsulation(self.algorithm) as kem:
            if len(public) != kem.details["length_public_key"]:
                raise ExchangeError(f"{self.algorithm}: a public key of {len(public)} bytes")
            ciphertext, secret = kem.encap_secret(public)
            return bytes(ciphertext), bytes(secret)

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        with self._oqs.KeyEncapsulation(self.algorithm, private) as kem:
            if len(ciphertext) != kem.details["length_ciphertext"]:
                raise ExchangeError(f"{self.algorithm}: a ciphertext of {len(ciphertext)} bytes")
            return bytes(kem.decap_secret(ciphertext))


def liboqs_is_installed(environment: Mapping[str, str]) -> bool:
    """Whether liboqs-python would find its C library. When it does not, ``import oqs`` builds one off the network."""
    candidates = [ctypes.util.find_library("oqs"), ctypes.util.find_library("liboqs")]
    if install_path := environment.get("OQS_INSTALL_PATH"):
        candidates += [str(Path(install_path) / folder / "liboqs.so") for folder in ("lib", "lib64")]
    for candidate in candidates:
        if candidate is None:
            continue
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return True
    return False


def best_kem(environment: Mapping[str, str] | None = None) -> Kem:
    """liboqs' NTRU where that library is installed and has it, else sntrup761 from pqcrypto."""
    if liboqs_is_installed(os.environ if environment is None else environment):
        import oqs

        enabled = oqs.get_enabled_kem_mechanisms()
        for algorithm in LIBOQS_MECHANISMS:
            if algorithm in enabled:
                _log.info("QRA: %s from liboqs", algorithm)
                return LiboqsKem(oqs, algorithm)
    _log.info("QRA: sntrup761 from pqcrypto")
    return Sntrup761()


@dataclass
class _KeyPair:
    public: bytes
    private: bytes = field(repr=False)
    uses: int = 0


class QraSource:
    """The post-quantum key source over one :class:`Kem`."""

    def __init__(self, kem: Kem) -> None:
        self._kem = kem
        self.algorithm = kem.algorithm
        self._pairs: dict[str, _KeyPair] = {}

    def can_join(self, a: str, b: str, route: Route | None = None) -> bool:
        return a != b and route is not Route.RELAYED

    def agree(self, a: str, b: str, count: int, size_bits: int, route: Route | None = None) -> list[AgreedKey]:
        return agree_in_batches(lambda: self._exchange(a, b), count, size_bits)

    def _exchange(self, a: str, b: str) -> AgreedKey:
        pair = self._key_pair_of(b)
        ciphertext, secret_a = self._kem.encapsulate(pair.public)
        secret_b = self._kem.decapsulate(pair.private, ciphertext)
        messages = (pair.public, ciphertext)
        return AgreedKey(
            at_a=derive_key(secret_a, self.algorithm, a, b, messages),
            at_b=derive_key(secret_b, self.algorithm, a, b, messages),
            message_a=ciphertext,
            message_b=pair.public,
        )

    def _key_pair_of(self, site: str) -> _KeyPair:
        pair = self._pairs.get(site)
        if pair is None or pair.uses >= KEY_PAIR_USES:
            pair = self._pairs[site] = _KeyPair(*self._kem.generate())
        pair.uses += 1
        return pair
