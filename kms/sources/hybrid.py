"""Keys out of secrets: CatKDF of ETSI TS 103 744, clause 8.2, for every source and every list of sources.

A hybrid is at least as strong as the strongest of its parts. Our mapping: psk is the QKD key, k1 the Diffie-Hellman
secret, k2 the KEM's. The algorithms, both ends and both messages are in the context: none can be changed unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from kms.keys.key import Source

LABEL = b"qslice hybrid key v2"
# The places of psk, k1 and k2 in the concatenation.
_PLACES = (Source.QKD, Source.DH, Source.QRA)
# HKDF-Expand makes 255 digests at most, and keys have up to 1024 bits.
_KEYS_PER_EXPANSION = 64


def cat_kdf(secrets: tuple[bytes, ...], label: bytes, info: bytes, ma: bytes, mb: bytes, length: int) -> bytes:
    """CatKDF with HKDF-SHA512: ``length`` bytes from ``secrets`` (psk, k1, k2; absent ones empty).

    ``ma`` and ``mb`` are the public messages of either end. SHA-512, because keys of up to 1024 bits are asked for.
    """
    digest = hashes.Hash(hashes.SHA512())
    for part in (info, ma, mb):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return HKDF(hashes.SHA512(), length, salt=label, info=digest.finalize()).derive(b"".join(secrets))


@dataclass(frozen=True)
class Exchanged:
    """What an exchange of messages left at one end: a secret per mechanism, and what the keys are bound to."""

    secrets: Mapping[Source, bytes] = field(repr=False)
    info: bytes  # source, algorithms, both ends, number and size of the keys
    ma: bytes
    mb: bytes

    def derive(self, purpose: bytes, length: int, psk: bytes = b"") -> bytes:
        parts = {**self.secrets, Source.QKD: psk}
        secrets = tuple(parts.get(place, b"") for place in _PLACES)
        return cat_kdf(secrets, LABEL, self.info + b"|" + purpose, self.ma, self.mb, length)

    def keys(self, count: int, size_bits: int, psks: Sequence[bytes] | None = None) -> list[bytes]:
        """``count`` keys of ``size_bits``; with ``psks``, one for each, a hybrid of it and the exchanged secrets."""
        length = size_bits // 8
        if psks is not None:
            return [self.derive(b"key %d" % n, length, psk) for n, psk in enumerate(psks)]
        root = self.derive(b"root of %d" % count, max(64, length))
        if count == 1:
            return [root[:length]]
        # HKDF-Expand (RFC 5869, 2.3) alone: a fourth of the time of a CatKDF for each.
        keys: list[bytes] = []
        for start in range(0, count, _KEYS_PER_EXPANSION):
            size = length * min(count - start, _KEYS_PER_EXPANSION)
            info = b"qslice kms keys of one agreement, from %d" % start
            row = HKDFExpand(hashes.SHA512(), size, info=info).derive(root)
            keys += [row[place : place + length] for place in range(0, size, length)]
        return keys
