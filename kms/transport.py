"""How keys get from one KME to another: agreed afresh by a source, or an existing key carried under its protection."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kms.errors import ExchangeError
from kms.keys import QKD, KeySource, Route, Source
from kms.relay import QkdNetwork
from kms.sources.agreement import AgreedKey, KeyAgreement
from kms.sources.hybrid import HybridSource

_WRAPPING_KEY_BITS = 256
# Each wrapping key wraps one key and is forgotten, so its nonce may be a constant.
_ONLY_NONCE = bytes(12)


class KeyTransport:
    """The three sources and every hybrid of them."""

    def __init__(self, sources: Mapping[Source, KeyAgreement], network: QkdNetwork) -> None:
        self._sources = dict(sources)
        self._network = network
        self._agreements: dict[KeySource, KeyAgreement] = {
            KeySource((source,)): agreement for source, agreement in sources.items()
        }

    def can_join(self, source: KeySource, a: str, b: str, route: Route | None = None) -> bool:
        return self._agreement(source).can_join(a, b, route)

    def agree(
        self, source: KeySource, a: str, b: str, count: int, size_bits: int, route: Route | None = None
    ) -> list[AgreedKey]:
        """See :meth:`KeyAgreement.agree`."""
        return self._agreement(source).agree(a, b, count, size_bits, route)

    def carry(
        self, source: KeySource, key_id: uuid.UUID, key: bytes, a: str, b: str, route: Route | None = None
    ) -> bytes:
        """``key``, held at site ``a``, as it arrives at ``b``.

        QKD alone relays it under one-time pads. Any other source agrees on a wrapping key for this one time, under
        which it travels with AES-256-GCM: it is then as well protected as a key of that source itself.
        """
        if source == QKD:
            return self._network.send(key, a, b, route)[0]
        (wrapping,) = self.agree(source, a, b, 1, _WRAPPING_KEY_BITS, route)
        wrapped = AESGCM(wrapping.at_a).encrypt(_ONLY_NONCE, key, key_id.bytes)
        try:
            return AESGCM(wrapping.at_b).decrypt(_ONLY_NONCE, wrapped, key_id.bytes)
        except InvalidTag:
            raise ExchangeError(f"key {key_id} did not arrive at {b} as it was sent") from None

    def _agreement(self, source: KeySource) -> KeyAgreement:
        if source not in self._agreements:
            self._agreements[source] = HybridSource(source, self._sources)
        return self._agreements[source]
