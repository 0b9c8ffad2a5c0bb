"""What a session is told, as frozen values. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from kms.tunnel.packet.cipher_suites import DEFAULT, Suite
from kms.tunnel.packet.ethernet import FrameSelector
from kms.tunnel.packet.ip_header import AddressPair, address_pairs
from kms.tunnel.packet.selector import Selector
from kms.tunnel.packet.traffic_padding import Padding
from kms.tunnel.protocol.key_derivation import Context, Sender


class Role(Enum):
    """The initiator fetches keys and offers them; the responder follows."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True)
class Timing:
    """Pace of the control messages."""

    first_retransmit_s: float = 0.02
    """An OFFER that came before the peer had its connection is repeated after this; then the pause doubles."""
    max_retransmit_s: float = 0.5
    offer_timeout_s: float = 30.0
    """An unanswered offer's key is given up after this; the next one is offered."""
    key_timeout_s: float = 10.0
    """A question to the KME that has not been answered by then counts as refused."""
    first_retry_s: float = 0.1
    """Pause after the KME gave no key; doubles up to ``max_retry_s``."""
    max_retry_s: float = 1.0
    min_repeat_s: float = 0.005
    """Messages that the peer can provoke are never sent more often than this."""
    drain_s: float = 1.0
    """An SA goes on receiving for this long after its successor has taken over."""
    unlinked_offers_per_s: float = 2.0
    """Offers without proof of the SA in use that may cost a question to the KME."""
    unlinked_offers_burst: int = 4


@dataclass(frozen=True)
class SessionSettings:
    """One connection as one of its ends sees it."""

    connection_id: str
    role: Role
    local_address: IPv4Address
    peer_address: IPv4Address
    local_sae: str
    peer_sae: str
    key_source: str
    local_address6: IPv6Address | None = None
    """None: IPv4 alone goes through the tunnel. Else ``peer_address6`` is there, too."""
    peer_address6: IPv6Address | None = None
    suite: Suite = DEFAULT
    rekey_s: float = 3.0
    lifetime_s: float = 60.0
    replay_window: int = 1024
    expects_copies: bool = False
    """The network sends each packet over two ways (1+1): a second copy is no sign of an attack."""
    carries_frames: bool = False
    """Ethernet frames between two cards, and not packets between the two addresses."""
    padding: Padding = Padding.NONE
    padding_pps: float = 1000.0
    """Packets a second where the rate is constant."""
    mtu: int = 0
    """The longest inner packet, to whose length others are padded."""
    repairs: bool = False
    """Keep what is sent for a while, ask for what is missing (see :mod:`kms.tunnel.protocol.repair`)."""
    probe_s: float = 0.5
    """How often the peer is asked whether it hears us; in twice that a failure is known. 0: never."""
    passage_s: float = 0.0
    """How often a packet of the largest size asks the same through the tunnel itself. 0: never."""
    queue_packets: int = 32
    """Packets that may wait for the very first SA; the oldest gives way."""
    queue_s: float = 1.0
    """How long they may wait."""
    timing: Timing = field(default_factory=Timing)

    @property
    def pairs(self) -> tuple[AddressPair, ...]:
        """Between which addresses packets may pass, one pair for each family."""
        return address_pairs(self.local_address, self.peer_address, self.local_address6, self.peer_address6)

    def outbound_selector(self) -> Selector | FrameSelector:
        """What may leave through the tunnel."""
        return FrameSelector() if self.carries_frames else Selector(self.pairs)

    def inbound_selector(self) -> Selector | FrameSelector:
        """What may come out of it."""
        return FrameSelector() if self.carries_frames else Selector(pair.reversed() for pair in self.pairs)

    @property
    def sender(self) -> Sender:
        """As which of the two this end signs and seals."""
        return Sender.INITIATOR if self.role is Role.INITIATOR else Sender.RESPONDER

    def context(self) -> Context:
        """The same value at both ends."""
        mine = (self.local_sae, ",".join(str(pair.local) for pair in self.pairs))
        peers = (self.peer_sae, ",".join(str(pair.peer) for pair in self.pairs))
        first, second = (mine, peers) if self.role is Role.INITIATOR else (peers, mine)
        return Context(
            self.connection_id,
            self.key_source,
            first[0],
            second[0],
            first[1],
            second[1],
            self.suite.identity,
            self.padding.value,
            "frames" if self.carries_frames else "",
        )
