"""Authentication of the classical channel with one-time keys (Wegman and Carter 1981).

The universal hash is Poly1305 (RFC 8439, 2.5) with a key that is used for one message: then its security needs no
assumption. A forgery succeeds with a probability below 8 ceil(L / 16) / 2^106 for L bytes.

Two tags of different messages under one key give the key away, whether or not the first was accepted. Either end
therefore takes its key out of its :class:`OneTimeKeys` before the tag is made or checked.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from kms.errors import ExchangeError, ShortOfKeyError

ONE_TIME_KEY_BYTES = 32
TAG_BYTES = 16


class OneTimeKeys:
    """One end's stock of authentication keys. Both ends put and take in the same order, and so hold the same.

    The newest is taken first: those installed with the devices are the reserve for blocks that fail.
    """

    def __init__(self, keys: bytes) -> None:
        """``keys``: whole keys, one after the other."""
        self._keys = bytearray()
        self.put(keys)

    def __len__(self) -> int:
        """How many messages can still be authenticated."""
        return len(self._keys) // ONE_TIME_KEY_BYTES

    def __repr__(self) -> str:
        return f"OneTimeKeys({len(self)} left)"

    def put(self, keys: bytes) -> None:
        if len(keys) % ONE_TIME_KEY_BYTES:
            raise ValueError(f"{len(keys)} bytes are not whole authentication keys")
        self._keys += keys

    def take(self) -> bytes:
        """A key, gone from here for good. ShortOfKeyError when there is none left."""
        if not self._keys:
            raise ShortOfKeyError("no key is left to authenticate the classical channel")
        key = bytes(self._keys[-ONE_TIME_KEY_BYTES:])
        del self._keys[-ONE_TIME_KEY_BYTES:]
        return key


def tag(one_time_key: bytes, message: bytes) -> bytes:
    return Poly1305.generate_tag(one_time_key, message)


def check(one_time_key: bytes, message: bytes, received_tag: bytes, what: str) -> None:
    """ExchangeError, naming ``what``, when the tag is not that of the message under this key."""
    try:
        Poly1305.verify_tag(one_time_key, message, received_tag)
    except InvalidSignature:
        raise ExchangeError(f"{what}: the authentication tag does not verify") from None
