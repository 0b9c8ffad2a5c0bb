"""A cipher suite that is an extension: loaded once, when the agent starts, into its own process.

A process of its own, as other extensions have, would cost every packet two messages. What it raises harms one packet;
what ends or stops the process ends or stops the tunnels of this host. In no case does a packet go out unsealed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from cryptography.exceptions import InvalidTag

from kms.tunnel.config import AgentConfig
from kms.tunnel.errors import ConfigurationError, SuiteFailed
from kms.tunnel.packet.cipher_suites import ICV_BYTES, SUITES, Composed, Octets, Suite
from scripts.extensions.errors import ExtensionError
from scripts.extensions.loading import load
from scripts.extensions.naming import Use
from scripts.extensions.protocols import CipherSuite, Kind
from scripts.extensions.suite_trials import key_bytes_of

_FIELD = "suite_extension"
_LONG_ENOUGH = 16  # octets that no cipher leaves as they are by chance

logger = logging.getLogger(__name__)


def suites_of(config: AgentConfig) -> Mapping[str, Suite]:
    """Ours, and that of the extension, once it has passed its trials. Raises ConfigurationError."""
    told = config.suite_extension
    if told is None:
        return SUITES
    if config.data_plane == "kernel":
        raise ConfigurationError(_FIELD, "the kernel has no suite of an extension, and data_plane is kernel")
    try:
        extension, identity = load(Use(Kind.SUITE, told.target, told.folder))
    except ExtensionError as error:
        raise ConfigurationError(_FIELD, f"{told.target}: {error.fault.value}: {error}") from error
    if identity.sha256 != told.sha256:
        raise ConfigurationError(_FIELD, f"{told.target}: its source has been changed since it was looked at")
    logger.warning("%s is in force: code of %s, SHA-256 %s, with the rights of this process",
                   identity, identity.source, identity.sha256)  # fmt: skip
    code = f"{identity.version} {identity.sha256}"
    made = partial(ExtensionAead, extension, identity.name)
    return {**SUITES, identity.name: Suite(identity.name, "", key_bytes_of(extension), made, code=code)}


class ExtensionAead(Composed):
    """An extension's suite under one key. Whatever it does, what comes out is sealed and what comes in is genuine."""

    def __init__(self, suite: CipherSuite, name: str, key: bytes) -> None:
        self._suite, self._name, self._key = suite, name, key
        self._has_failed = False

    def encrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        if self._has_failed:
            raise SuiteFailed(self._name)
        text = bytes(data)
        try:
            sealed = self._suite.seal(self._key, nonce, associated_data, text)
        except Exception as error:  # noqa: BLE001 - it is others' code
            raise self._failed(f"raised {type(error).__name__}") from None  # its words may be the key
        if type(sealed) is not bytes or len(sealed) != len(text) + ICV_BYTES:
            raise self._failed("gave what is no seal")
        if len(text) >= _LONG_ENOUGH and sealed.startswith(text):
            raise self._failed("gave the packet as it was")
        return sealed

    def decrypt(self, nonce: bytes, data: Octets, associated_data: bytes) -> bytes:
        sealed = bytes(data)
        try:
            opened = self._suite.open(self._key, nonce, associated_data, sealed)
        except Exception:  # noqa: BLE001 - it is others' code
            raise InvalidTag from None
        if type(opened) is not bytes or len(opened) != len(sealed) - ICV_BYTES:
            raise InvalidTag
        return opened

    def _failed(self, what: str) -> SuiteFailed:
        self._has_failed = True
        logger.error("the suite %s %s: nothing is sealed under this key any more", self._name, what)
        return SuiteFailed(f"{self._name} {what}")
