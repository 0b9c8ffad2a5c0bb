"""What a session wants done. The session does nothing itself: whoever drives it carries these out."""

from __future__ import annotations

from dataclasses import dataclass, field

from kms.tunnel.packet.cipher_suites import DEFAULT, Suite
from kms.tunnel.protocol.states import Link


@dataclass(frozen=True)
class SendDatagram:
    """Send this UDP payload to the peer."""

    datagram: bytes


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


Effect = SendDatagram | AskEncKeys | AskDecKeys | LinkChanged | ContinuityChanged | SaInstalled
