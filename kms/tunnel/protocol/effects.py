"""What a session wants done. The session does nothing itself: whoever drives it carries these out, or is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kms.tunnel.packet.cipher_suites import DEFAULT, Suite
from kms.tunnel.protocol.states import Link


@dataclass(frozen=True)
class SendDatagram:
    """Send this UDP payload to the peer."""

    datagram: bytes


@dataclass(frozen=True)
class SendInside:
    """Send this UDP payload to the peer through the tunnel, as an application of this host would."""

    payload: bytes


@dataclass(frozen=True)
class AskEncKeys:
    """Call enc_keys at the own KME, then answer with ``keys_obtained`` or ``key_refused``."""

    request: int
    slave_sae: str
    key_source: str
    number: int = 1


@dataclass(frozen=True)
class AskDecKeys:
    """Call dec_keys at the own KME, then answer with ``keys_obtained`` or ``key_refused``."""

    request: int
    master_sae: str
    key_source: str
    key_ids: tuple[str, ...]


@dataclass(frozen=True)
class LinkChanged:
    """The connection can, or can no longer, carry traffic."""

    link: Link


@dataclass(frozen=True)
class ContinuityChanged:
    """Whether packets get through is known otherwise than before; ``Session.continuity`` tells it."""


@dataclass(frozen=True)
class SaInstalled:
    """One direction's SA exists: for whoever else seals and opens, and for the debugging key log."""

    is_outbound: bool
    spi: int
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    suite: Suite = DEFAULT


Effect = SendDatagram | SendInside | AskEncKeys | AskDecKeys | LinkChanged | ContinuityChanged | SaInstalled


class Installer(Protocol):
    """Whatever seals and opens in the session's place: the kernel, say. What it refuses raises Unavailable.

    Both calls are a part of the key exchange: without its consent no peer is told that an SA is there or in use.
    """

    def install(self, sas: Sequence[SaInstalled]) -> None:
        """Have these SAs, all of them or none: they can receive, or be transmitted on, from now on."""

    def transmit_on(self, spi: int) -> None:
        """Send under this SA from now on; when that is refused, under what it was before."""


class SessionAlone:
    """The session itself seals and opens: there is nobody to ask."""

    def install(self, sas: Sequence[SaInstalled]) -> None:
        pass

    def transmit_on(self, spi: int) -> None:
        pass
