"""Key encapsulation mechanisms: the NTRU family, ML-KEM (FIPS 203), and several at once.

NTRU as submitted to NIST comes from liboqs where the C library is installed; Streamlined NTRU Prime (sntrup761 is the
mechanism of OpenSSH) and HQC, NIST's fifth, from ``pqcrypto``; ML-KEM from ``cryptography``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import mlkem

from kms.errors import ConfigError, ExchangeError
from kms.sources.agreement import framed, unframed

_log = logging.getLogger(__name__)

AUTO = "auto"
LIBOQS_MECHANISMS = ("NTRU-HPS-2048-677", "NTRU-HRSS-701", "NTRU-HPS-4096-821", "sntrup761")
SNTRUP761 = "sntrup761"
_ML_KEM: dict[str, tuple[Any, Any]] = {  # private and public key
    "ML-KEM-768": (mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey),
    "ML-KEM-1024": (mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey),
}
# By their modules there. Classic McEliece, which it has too, does not fit: its public keys are larger than a message.
_PQCRYPTO = {
    **{f"sntrup{n}": f"sntrup_{n}" for n in (653, 761, 857, 953, 1013, 1277)},
    **{f"HQC-{n}": f"hqc_{n}" for n in (128, 192, 256)},
}
KEM_NAMES = (*(name for name in LIBOQS_MECHANISMS if name not in _PQCRYPTO), *_PQCRYPTO, *_ML_KEM)


class Kem(Protocol):
    """A key encapsulation mechanism."""

    algorithm: str

    def generate(self) -> tuple[bytes, bytes]:
        """A public and a private key."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """A ciphertext and the secret in it; ExchangeError for a public key that is not one."""

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        """The secret in ``ciphertext``; for a forged one, a secret that nobody else has (implicit rejection)."""


class PqcryptoKem:
    """A mechanism of pqcrypto."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._kem = importlib.import_module(f"pqcrypto.kem.{_PQCRYPTO[algorithm]}")

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


class MlKem:
    """ML-KEM from cryptography; a private key is its 64-byte seed."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._private, self._public = _ML_KEM[algorithm]

    def generate(self) -> tuple[bytes, bytes]:
        private = self._private.generate()
        return private.public_key().public_bytes_raw(), private.private_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        try:
            secret, ciphertext = self._public.from_public_bytes(public).encapsulate()
        except ValueError as error:
            raise ExchangeError(f"{self.algorithm}: the public key is not valid") from error
        return ciphertext, secret

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        try:
            return bytes(self._private.from_seed_bytes(private).decapsulate(ciphertext))
        except ValueError as error:
            raise ExchangeError(f"{self.algorithm}: a ciphertext of {len(ciphertext)} bytes") from error


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


class CombinedKem:
    """Several mechanisms in one: all public keys, all ciphertexts, all secrets in a row.

    The secrets are only ever input of CatKDF, whose context holds the algorithms and all messages (kms.sources.hybrid):
    the key that comes out is as strong as the strongest.
    """

    def __init__(self, kems: Sequence[Kem]) -> None:
        self._kems = tuple(kems)
        self.algorithm = "+".join(kem.algorithm for kem in kems)

    def generate(self) -> tuple[bytes, bytes]:
        pairs = [kem.generate() for kem in self._kems]
        return framed(*(public for public, _ in pairs)), framed(*(private for _, private in pairs))

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        parts = unframed(public, len(self._kems))
        made = [kem.encapsulate(part) for kem, part in zip(self._kems, parts, strict=True)]
        return framed(*(ciphertext for ciphertext, _ in made)), b"".join(secret for _, secret in made)

    def decapsulate(self, private: bytes, ciphertext: bytes) -> bytes:
        privates, parts = unframed(private, len(self._kems)), unframed(ciphertext, len(self._kems))
        return b"".join(kem.decapsulate(own, part) for kem, own, part in zip(self._kems, privates, parts, strict=True))


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
    return PqcryptoKem(SNTRUP761)


def choose_kem(policy: str, environment: Mapping[str, str] | None = None) -> Kem:
    """The mechanism that a policy names: ``auto``, one of :data:`KEM_NAMES`, or several of them joined by ``+``.

    ConfigError for a name that is none, or one that this machine does not have: nothing else is taken in its place.
    """
    environment = os.environ if environment is None else environment
    if policy == AUTO:
        return best_kem(environment)
    kems = [_one_kem(name, environment) for name in kem_names(policy)]
    return kems[0] if len(kems) == 1 else CombinedKem(kems)


def kem_names(policy: str) -> list[str]:
    """The mechanisms that a policy names, be they here or not; none for ``auto``. ConfigError for what is none."""
    names = [] if policy == AUTO else policy.split("+")
    if len(set(names)) != len(names):
        raise ConfigError("qra_kem", f"{policy!r} names a mechanism twice")
    for name in names:
        if name not in KEM_NAMES:
            raise ConfigError("qra_kem", f"{name!r} is none of {AUTO}, {', '.join(KEM_NAMES)}")
    return names


def kems_here(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Those of :data:`KEM_NAMES` that this machine has."""
    environment = os.environ if environment is None else environment
    enabled = _enabled_in_liboqs(environment)
    return tuple(name for name in KEM_NAMES if name in _PQCRYPTO or name in _ML_KEM or name in enabled)


def _one_kem(name: str, environment: Mapping[str, str]) -> Kem:
    if name in _ML_KEM:
        return MlKem(name)
    if name in _PQCRYPTO:
        return PqcryptoKem(name)
    if name not in _enabled_in_liboqs(environment):
        here = ", ".join(kems_here(environment))
        raise ConfigError("qra_kem", f"{name} needs liboqs, which is not here or lacks it; here there are {here}")
    import oqs

    return LiboqsKem(oqs, name)


def _enabled_in_liboqs(environment: Mapping[str, str]) -> frozenset[str]:
    if not liboqs_is_installed(environment):
        return frozenset()
    import oqs

    return frozenset(oqs.get_enabled_kem_mechanisms())
