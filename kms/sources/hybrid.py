"""Hybrid keys: several sources' keys combined by CatKDF of ETSI TS 103 744, clause 8.2.

The result is at least as strong as the strongest of its parts. Our mapping: psk is the QKD key, k1 the Diffie-Hellman
secret, k2 the KEM's. Each end combines its own copies.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kms.keys import KeySource, Route, Source
from kms.sources.agreement import AgreedKey, KeyAgreement

LABEL = b"qslice hybrid key v1"
# The places of psk, k1 and k2 in the concatenation.
_PLACES = (Source.QKD, Source.DH, Source.QRA)


def cat_kdf(secrets: tuple[bytes, ...], label: bytes, info: bytes, ma: bytes, mb: bytes, length: int) -> bytes:
    """CatKDF with HKDF-SHA512: ``length`` bytes from ``secrets`` (psk, k1, k2; absent ones empty).

    ``ma`` and ``mb`` are the public messages of either end. SHA-512, because keys of up to 1024 bits are asked for.
    """
    digest = hashes.Hash(hashes.SHA512())
    for part in (info, ma, mb):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return HKDF(hashes.SHA512(), length, salt=label, info=digest.finalize()).derive(b"".join(secrets))


class HybridSource:
    """The key source that combines ``components``, which must be those of ``source``."""

    def __init__(self, source: KeySource, components: Mapping[Source, KeyAgreement]) -> None:
        self.source = source
        self._components = {part: components[part] for part in _PLACES if part in source.parts}

    @property
    def algorithm(self) -> str:
        return "catkdf-hkdf-sha512(" + ",".join(part.algorithm for part in self._components.values()) + ")"

    def can_join(self, a: str, b: str, route: Route | None = None) -> bool:
        if not all(component.can_join(a, b) for component in self._components.values()):
            return False
        if Source.QKD in self._components:
            # The other parts go from KME to KME; which way a hybrid came is the way of its QKD part.
            return self._components[Source.QKD].can_join(a, b, route)
        return route is not Route.RELAYED

    def agree(self, a: str, b: str, count: int, size_bits: int, route: Route | None = None) -> list[AgreedKey]:
        # The order of the parts puts QKD first: the only one that can run dry is asked before work is done.
        agreed = {
            part: component.agree(a, b, count, size_bits, route if part is Source.QKD else None)
            for part, component in self._components.items()
        }
        return [self._combine(a, b, {part: keys[n] for part, keys in agreed.items()}, size_bits) for n in range(count)]

    def _combine(self, a: str, b: str, parts: Mapping[Source, AgreedKey], size_bits: int) -> AgreedKey:
        info = f"{self.source.label}|{a}|{b}|{size_bits}".encode()
        present = [parts[place] for place in _PLACES if place in parts]
        ma = b"".join(_framed(part.message_a) for part in present)
        mb = b"".join(_framed(part.message_b) for part in present)
        length = size_bits // 8
        return AgreedKey(
            at_a=cat_kdf(tuple(part.at_a for part in present), LABEL, info, ma, mb, length),
            at_b=cat_kdf(tuple(part.at_b for part in present), LABEL, info, ma, mb, length),
            message_a=ma,
            message_b=mb,
            crossings=max(part.crossings for part in present),
        )


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message
