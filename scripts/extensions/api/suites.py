"""What a cipher suite is held to."""

from __future__ import annotations

from dataclasses import dataclass

SUITE_NONCE_BYTES = 12
SUITE_ICV_BYTES = 16
"""What a suite's seal is longer than the plaintext by, always."""


@dataclass(frozen=True)
class SuiteVector:
    """A test vector: ``sealed`` is the ciphertext and the 16 octets of integrity check value after it."""

    key: bytes
    nonce: bytes
    aad: bytes
    plaintext: bytes
    sealed: bytes
