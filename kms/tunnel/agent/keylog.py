"""The debugging key log: traffic keys in the clear, as lines of Wireshark's ``esp_sa`` table. Off unless asked for."""

from __future__ import annotations

import logging
import os
import stat
from ipaddress import IPv4Address
from pathlib import Path

from kms.tunnel.errors import ConfigurationError
from kms.tunnel.packet.cipher_suites import CIPHER_KEY_BYTES
from kms.tunnel.protocol.effects import SaInstalled

logger = logging.getLogger(__name__)


_NAMES = {  # Wireshark's, epan/dissectors/packet-ipsec.c, by the suites' RFCs
    "4106": ("AES-GCM with 16 octet ICV [RFC4106]", "NULL"),
    "7634": ("ChaCha20 with Poly1305 [RFC7634]", "NULL"),
    "3686, 4868": ("AES-CTR [RFC3686]", "HMAC-SHA-256-128 [RFC4868]"),
    "4543": ("NULL", "ANY 128 bit authentication [no checking]"),
}


class KeyLog:
    """Appends each SA's keys to a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Not to be waited for by a pipe that somebody put there.
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._fd = os.open(path, how, 0o600)
        except OSError as error:
            raise ConfigurationError("unsafe_keylog", f"{path}: {error.strerror}") from error
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            os.close(self._fd)
            raise ConfigurationError("unsafe_keylog", f"{path}: it is there already and others can read it too")
        os.fchmod(self._fd, 0o600)
        logger.warning("UNSAFE: TRAFFIC KEYS ARE WRITTEN IN THE CLEAR TO %s. Whoever reads it reads the traffic.", path)

    def write(self, sa: SaInstalled, local: IPv4Address, peer: IPv4Address) -> None:
        """One line; ``local`` and ``peer`` are underlay addresses. None for a suite that Wireshark does not know."""
        if sa.suite.rfc not in _NAMES:
            return
        source, destination = (local, peer) if sa.is_outbound else (peer, local)
        os.write(self._fd, f"{esp_sa_line(sa, source, destination)}\n".encode())

    def close(self) -> None:
        os.close(self._fd)


def esp_sa_line(sa: SaInstalled, source: IPv4Address, destination: IPv4Address) -> str:
    """Protocol, addresses, SPI, cipher, key and salt together, authentication, its key, width of the numbers."""
    key, authentication_key = sa.key[:CIPHER_KEY_BYTES], sa.key[CIPHER_KEY_BYTES:]
    cipher, authentication = _NAMES[sa.suite.rfc]
    keymat = f"0x{(key + sa.salt).hex()}" if sa.suite.hides else ""
    shown = f"0x{authentication_key.hex()}" if authentication_key else ""
    width = "64-bit" if sa.suite.is_extended else "32-bit"
    return (
        f'"IPv4","{source}","{destination}","0x{sa.spi:08x}",'
        f'"{cipher}","{keymat}","{authentication}","{shown}","{width}"'
    )
