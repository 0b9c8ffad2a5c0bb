"""Security associations of one connection: pairs made of one key, and the book that says which is in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from kms.tunnel.packet.cipher_suites import Suite
from kms.tunnel.packet.esp import MIN_SPI, InboundSa, OutboundSa
from kms.tunnel.protocol.effects import Installer, SaInstalled
from kms.tunnel.protocol.key_derivation import ControlKeys, Sender, esp_keymat, link_keys

# At the quickest rekeying (10 a second) and a drain of one second, about a dozen pairs live at once.
MAX_PAIRS = 32


class Stage(Enum):
    """A pair's life; all stages receive, only CURRENT transmits."""

    PENDING = "pending"
    CURRENT = "current"
    DRAINING = "draining"


@dataclass(eq=False)
class SaPair:
    """Both directions' SAs from one key. ``ends_at`` is when the last packet may pass."""

    key_id: str
    outbound: OutboundSa
    inbound: InboundSa
    control: ControlKeys = field(repr=False)
    installed_at: float
    ends_at: float
    context: bytes  # what its key was bound to, the key source included
    stage: Stage = Stage.PENDING
    is_let_out: bool = False  # the installer transmits on it
    tx_bytes: int = 0  # of inner packets, as in Counters; ``outbound.sequence`` is how many packets
    rx_packets: int = 0
    rx_bytes: int = 0

    @property
    def inbound_spi(self) -> bytes:
        return self.inbound.spi.to_bytes(4, "big")

    @property
    def is_worn(self) -> bool:
        """So many packets have passed, either way, that it is time for another key."""
        return max(self.outbound.sequence, self.inbound.highest_sequence) >= self.outbound.suite.soft_sequence


@dataclass(frozen=True)
class Agreement:
    """What the two ends have settled in an exchange, seen from one of them."""

    key_id: str
    nonces: bytes
    inbound_spi: int
    outbound_spi: int
    outbound_sender: Sender


class SaBook:
    """The live pairs, by inbound SPI, and the one that transmits. What is here ``installer`` has, too."""

    def __init__(
        self,
        installer: Installer,
        *,
        context: bytes,
        suite: Suite,
        lifetime_s: float,
        replay_window: int,
        drain_s: float,
    ) -> None:
        self._installer = installer
        self._context = context
        self._suite = suite
        self._lifetime_s = lifetime_s
        self._replay_window = replay_window
        self._drain_s = drain_s
        self.by_spi: dict[bytes, SaPair] = {}
        self.current: SaPair | None = None

    def reconfigure(self, *, context: bytes, suite: Suite, lifetime_s: float, replay_window: int) -> None:
        """What holds for the pairs to come; those there are stay as they were made."""
        self._context = context
        self._suite = suite
        self._lifetime_s = lifetime_s
        self._replay_window = replay_window

    @property
    def is_reconfigured(self) -> bool:
        """Whether the pair in use was made as pairs are made now."""
        return self.current is not None and self.current.context == self._context

    def install(self, agreement: Agreement, master: bytes, now: float) -> tuple[SaPair, tuple[SaInstalled, ...]]:
        """Derive and keep a pair; it receives at once and transmits when :meth:`make_current` says so.

        Unavailable, and nothing has happened, when it cannot be installed.
        """
        mine = agreement.outbound_sender
        suite = self._suite
        bound = (master, self._context, agreement.key_id, agreement.nonces)
        outbound = esp_keymat(*bound, mine, agreement.outbound_spi, suite)
        inbound = esp_keymat(*bound, mine.peer, agreement.inbound_spi, suite)
        pair = SaPair(
            key_id=agreement.key_id,
            outbound=OutboundSa(agreement.outbound_spi, outbound.key, outbound.salt, suite=suite),
            inbound=InboundSa(
                agreement.inbound_spi, inbound.key, inbound.salt, replay_window=self._replay_window, suite=suite
            ),
            control=link_keys(*bound),
            installed_at=now,
            ends_at=now + self._lifetime_s,
            context=self._context,
        )
        sas = (
            SaInstalled(True, agreement.outbound_spi, outbound.key, outbound.salt, suite),
            SaInstalled(False, agreement.inbound_spi, inbound.key, inbound.salt, suite),
        )
        assert pair.inbound_spi not in self.by_spi
        self._installer.install(sas)
        self._make_room()
        self.by_spi[pair.inbound_spi] = pair
        return pair, sas

    def let_out(self, pair: SaPair) -> None:
        """Have packets leave under ``pair``: :meth:`make_current` is to follow. Raises Unavailable. Idempotent."""
        if not pair.is_let_out:
            self._installer.transmit_on(pair.outbound.spi)
            pair.is_let_out = True

    def discard(self, pair: SaPair) -> None:
        """Forget a pair that nobody has been told of."""
        del self.by_spi[pair.inbound_spi]

    def make_current(self, pair: SaPair, now: float) -> None:
        """Transmit on ``pair``, which is let out; those before it receive for a while longer, then go."""
        assert pair.is_let_out
        for other in self.by_spi.values():
            if other is pair:
                break  # dicts keep order of installation: what follows is newer
            self._drain(other, now)
        pair.stage = Stage.CURRENT
        self.current = pair

    def prolong_draining(self, now: float) -> None:
        """The peer has not yet switched: keep receiving what it sends on the SA before."""
        for pair in self.by_spi.values():
            if pair.stage is Stage.DRAINING:
                pair.ends_at = max(pair.ends_at, min(now + self._drain_s, pair.installed_at + self._lifetime_s))

    def expire(self, now: float) -> bool:
        """Forget what has ended. True when the pair in use was among it."""
        ended = [spi for spi, pair in self.by_spi.items() if pair.ends_at <= now]
        for spi in ended:
            del self.by_spi[spi]
        if self.current is not None and self.current.ends_at <= now:
            self.current = None
            return True
        return False

    def next_expiry(self) -> float | None:
        return min((pair.ends_at for pair in self.by_spi.values()), default=None)

    def choose_spi(self, entropy: bytes) -> int:
        """An inbound SPI that is neither reserved nor in use, from four random octets."""
        wanted = int.from_bytes(entropy, "big")
        for step in count():
            spi = (wanted + step) % 2**32
            if spi >= MIN_SPI and spi.to_bytes(4, "big") not in self.by_spi:
                return spi
        raise AssertionError("the loop above is endless")

    def clear(self) -> None:
        self.by_spi.clear()
        self.current = None

    def _drain(self, pair: SaPair, now: float) -> None:
        if pair.stage is not Stage.DRAINING:
            pair.stage = Stage.DRAINING
            pair.ends_at = min(pair.ends_at, now + self._drain_s)

    def _make_room(self) -> None:
        """Bounded memory: the oldest that does not transmit gives way."""
        while len(self.by_spi) >= MAX_PAIRS:
            oldest = next(spi for spi, pair in self.by_spi.items() if pair is not self.current)
            del self.by_spi[oldest]
