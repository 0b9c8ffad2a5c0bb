"""Quantum-resistant key agreement between two KMEs: whoever begins offers a public key, the other encapsulates to it.

The key pair serves several exchanges, which a KEM that is secure against chosen ciphertexts allows, and is then
replaced, so that a key pair lost later opens little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kms.sources.kems import Kem

# Making a key pair of sntrup761 costs about 60 encapsulations.
KEY_PAIR_USES = 64


@dataclass
class _KeyPair:
    public: bytes
    private: bytes = field(repr=False)
    uses: int = 0


class QraSource:
    """The post-quantum mechanism of one KME over one :class:`Kem`."""

    def __init__(self, kem: Kem) -> None:
        self._kem = kem
        self.algorithm = kem.algorithm
        self._pair: _KeyPair | None = None

    def offer(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        if self._pair is None or self._pair.uses >= KEY_PAIR_USES:
            self._pair = _KeyPair(*self._kem.generate())
        pair = self._pair
        pair.uses += 1
        return pair.public, lambda ciphertext: self._kem.decapsulate(pair.private, ciphertext)

    def answer(self, offered: bytes) -> tuple[bytes, bytes]:
        return self._kem.encapsulate(offered)
