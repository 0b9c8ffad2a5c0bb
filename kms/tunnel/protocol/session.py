"""One connection's tunnel without I/O, clock or randomness, in the manner of h11 and aioquic.

In: inner packets, datagrams, keys, the time. Out: datagrams and inner packets as return values of the hot calls, which
are those of :attr:`Session.outbound` and :attr:`Session.inbound`; everything else as a list of effects
(:mod:`kms.tunnel.protocol.effects`). Whoever drives it calls :meth:`Session.take_effects` after anything it did, and
:meth:`Session.handle_timer` when :meth:`Session.next_timer` is reached.

What happens, and what follows (the machines' tables are in :mod:`kms.tunnel.protocol.states`):

1. :meth:`Session.start`: the initiator asks for a key, the responder says that it is there.
2. :meth:`Session.keys_obtained`, :meth:`Session.key_refused`, a control message: the key exchange goes on. In its
   course a pair of SAs comes to be, which receives at once; where the kernel has to have it, too, its consent is part
   of the exchange (:class:`kms.tunnel.protocol.effects.Installer`).
3. The exchange, or a packet that was sealed under such a pair, proves that the peer has it: the pair transmits from
   now on, and the link is UP. This happens again with every new key.
4. The time: what is due is repeated, a key that is old enough replaced, a pair that has ended forgotten. When the one
   in use ends and no other has followed, the link is EXPIRED, and nothing passes until there is another.
5. :meth:`Session.reconfigure`: keys of another kind are wanted. Those there are serve until the new ones do (3).
6. :meth:`Session.close`: the link is CLOSED, for good.

Invariants: a packet goes out sealed or not at all; no (key, nonce) pair is used twice; nothing that arrives raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kms.tunnel.errors import Malformed, Unavailable
from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity.check import Continuity
from kms.tunnel.protocol.continuity.passage import PassageProbes, joined
from kms.tunnel.protocol.continuity.probes import ContinuityProbes
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import Effect, Installer, LinkChanged, SessionAlone
from kms.tunnel.protocol.inbound_traffic import InboundTraffic
from kms.tunnel.protocol.initiator import Initiator
from kms.tunnel.protocol.key_derivation import NONCE_BYTES
from kms.tunnel.protocol.key_prefetch import StockedKey
from kms.tunnel.protocol.outbound_traffic import OutboundTraffic
from kms.tunnel.protocol.repair.retransmission import Retransmission
from kms.tunnel.protocol.responder import Responder
from kms.tunnel.protocol.security_association import SaBook, SaPair, Stage
from kms.tunnel.protocol.settings import Role, SessionSettings
from kms.tunnel.protocol.states import LINK, Link, LinkInput, advance

ENTROPY_BYTES = 4 + NONCE_BYTES
"""Fresh random octets that :meth:`Session.keys_obtained` takes for each key: an SPI and a nonce."""

RECONFIGURABLE = ("key_source", "suite", "rekey_s", "lifetime_s", "replay_window", "expects_copies", "repairs")


@dataclass(frozen=True)
class Status:
    """Where a session stands; ``key_age_s`` and ``key_id`` are those of the SA in use."""

    link: Link
    key_id: str | None
    key_age_s: float | None
    live_sas: int
    last_error: str


class Session:
    """Seals, opens, and keeps itself in keys. ``instance`` is 8 fresh random octets."""

    def __init__(self, settings: SessionSettings, instance: bytes, installer: Installer | None = None) -> None:
        if len(instance) != messages.INSTANCE_BYTES:
            raise ValueError(f"an instance is {messages.INSTANCE_BYTES} octets")
        self._settings = settings
        self.counters = Counters()
        self._connection = messages.connection_tag(settings.connection_id)
        self._effects: list[Effect] = []
        self._book = SaBook(
            installer or SessionAlone(),
            context=settings.context().digest(),
            suite=settings.suite,
            lifetime_s=settings.lifetime_s,
            replay_window=settings.replay_window,
            drain_s=settings.timing.drain_s,
        )
        parts = (settings, self._book, self._effects, self.counters)
        self._exchange: Initiator | Responder = (
            Initiator(*parts) if settings.role is Role.INITIATOR else Responder(*parts, instance)
        )
        self._probes = ContinuityProbes(*parts)
        self._passage = PassageProbes(*parts)
        self._retransmission = Retransmission(*parts)
        self.outbound = OutboundTraffic(*parts, self._retransmission, self._replace_worn)
        self.inbound = InboundTraffic(
            settings, self._book, self.counters, self._retransmission, self._receive_control, self._use
        )
        self._link = Link.WAITING

    # 1. The beginning

    def start(self, now: float) -> None:
        """Begin: the initiator asks for its first key, the responder says that it is there."""
        self._exchange.start(now)

    # 2. Keys and control messages

    def keys_obtained(self, request: int, keys: Sequence[tuple[str, bytes]], now: float, entropy: bytes) -> None:
        """The answer to AskEncKeys or AskDecKeys: ids and keys, one at least.

        ``entropy`` is ENTROPY_BYTES fresh random octets for each key.
        """
        if not keys or len(entropy) != len(keys) * ENTROPY_BYTES:
            raise ValueError(f"{ENTROPY_BYTES} octets of entropy are needed for each key, and a key")
        if self._link is not Link.CLOSED:
            parts = (entropy[at : at + ENTROPY_BYTES] for at in range(0, len(entropy), ENTROPY_BYTES))
            stocked = [StockedKey(*each, part, now) for each, part in zip(keys, parts, strict=True)]
            self._exchange.keys_obtained(request, stocked, now)

    def key_refused(self, request: int, reason: str, now: float, *, is_final: bool) -> None:
        """There is no key; ``is_final`` tells that the KME does not know the one that was asked for."""
        if self._link is not Link.CLOSED:
            self._exchange.key_refused(request, reason, now, is_final=is_final)

    def _receive_control(self, datagram: bytes, now: float) -> None:
        if self._link is Link.CLOSED:
            return
        try:
            received = messages.decode(datagram, self._connection)
        except Malformed:
            self.counters.control_malformed += 1
            return
        self.counters.control_received += 1
        if isinstance(received.message, messages.Probe | messages.ProbeReply):
            self._probes.receive(received.message, received, now)
            return
        if isinstance(received.message, messages.Repair):
            self._retransmission.receive(received.message, received, now)
            return
        usable = self._exchange.receive(received, now)
        if usable is not None:
            self._use(usable, now)

    # 3. A pair has been proved

    def _use(self, pair: SaPair, now: float) -> None:
        """Transmit on ``pair`` from now on; the one before drains. A pair that has ended or been overtaken stays so."""
        if pair.stage is not Stage.PENDING or self._book.by_spi.get(pair.inbound_spi) is not pair:
            return
        try:
            self._book.let_out(pair)
        except Unavailable as error:
            # The peer, which hears nothing under it, repeats itself, and this is tried again.
            self._exchange.last_error = str(error)
            return
        self._exchange.last_error = ""
        if self._book.current is not None or self._link is Link.EXPIRED:
            self.counters.rekeys += 1
        was_up, was_reconfigured = self._link is Link.UP, self._book.is_reconfigured
        self._book.make_current(pair, now)
        if was_up and not was_reconfigured and self._book.is_reconfigured:
            self._effects.append(LinkChanged(Link.UP))
        if isinstance(self._exchange, Responder):
            self._exchange.proved(pair)
        self._change_link(LinkInput.SA_USABLE)
        self._probes.start(now)
        self._passage.start(now)
        self.outbound.use(pair, now)

    def _change_link(self, event: LinkInput) -> None:
        before, self._link = self._link, advance(LINK, self._link, event)
        if self._link is not before:
            self._effects.append(LinkChanged(self._link))
            if self._link is not Link.UP:
                self._probes.stop()
                self._passage.stop()
                self.outbound.halt()

    # 4. The time, and what wears a key out

    def next_timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called, if nothing happens before."""
        if self._link is Link.CLOSED:
            return None
        timers = (
            self._book.next_expiry(),
            self._exchange.next_timer(),
            self._probes.next_timer(),
            self._passage.next_timer(),
            self._retransmission.next_timer(),
            self.outbound.next_timer(),
        )
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Repeat, rekey, expire whatever is due."""
        if self._link is Link.CLOSED:
            return
        if self._book.expire(now):
            self._change_link(LinkInput.LIFETIME_ENDED)
        self._exchange.handle_timer(now)
        self._probes.handle_timer(now)
        self._passage.handle_timer(now)
        self._retransmission.handle_timer(now)
        self.outbound.handle_timer(now)

    def note_sequence(self, highest: int, now: float) -> None:
        """Where another than the session seals and opens: how far the SAs' numbers have come."""
        if highest >= self._settings.suite.soft_sequence:
            self._replace_worn(now)

    def _replace_worn(self, now: float) -> None:
        """An SA has carried so many packets that it is time for another key."""
        if isinstance(self._exchange, Initiator):
            self._exchange.rekey(now)

    # 5. Other settings

    def reconfigure(self, settings: SessionSettings, now: float) -> None:
        """Other keys (source, ``rekey_s``, ``lifetime_s``), copies to expect or repairs, for the same connection.

        ``expects_copies`` and ``repairs`` hold at once, ``replay_window`` for the SAs to come; the first of them
        follows shortly.
        Traffic goes on under the key in use until one of the new kind has been agreed on; LinkChanged tells when it
        has. Until both ends have been told, neither gets a new key: tell the responder first.
        """
        changed = {name: getattr(settings, name) for name in RECONFIGURABLE}
        if settings != replace(self._settings, **changed):
            raise ValueError(f"only {', '.join(RECONFIGURABLE)} can be changed")
        if self._link is not Link.CLOSED:
            self._settings = settings
            self._retransmission.is_on = settings.repairs
            self.inbound.expects_copies = settings.expects_copies
            self._book.reconfigure(
                context=settings.context().digest(),
                suite=settings.suite,
                lifetime_s=settings.lifetime_s,
                replay_window=settings.replay_window,
            )
            self._exchange.reconfigure(settings, now)

    @property
    def is_reconfigured(self) -> bool:
        """Whether traffic can pass under keys of the kind that was asked for last."""
        return self._link is Link.UP and self._book.is_reconfigured

    def pace_probes(self, period_s: float, passage_s: float) -> None:
        """Ask the peer that often from now on whether it hears us, beside and through the tunnel; 0: never."""
        self._probes.set_period(period_s)
        self._passage.set_period(passage_s)

    def receive_inside(self, payload: bytes, now: float) -> None:
        """A UDP payload that has come to this end through the tunnel."""
        if self._link is Link.UP:
            self._passage.receive_inside(payload, now)

    # 6. The end

    def close(self) -> None:
        """Forget every key. Nothing passes any more."""
        if self._link is not Link.CLOSED:
            self._change_link(LinkInput.CLOSE)
            self._book.clear()
            self._exchange.forget()
            self._retransmission.clear()

    # What is to be done, and how things stand

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order; the list is handed over."""
        taken = self._effects.copy()
        self._effects.clear()
        return taken

    def has_effects(self) -> bool:
        return bool(self._effects)

    @property
    def link(self) -> Link:
        return self._link

    @property
    def continuity(self) -> Continuity:
        """Whether packets get through, as the last probes have shown; unknown while there is no key to ask with."""
        return joined(self._probes.continuity, self._passage.continuity)

    @property
    def is_blocked_inside(self) -> bool:
        """Datagrams of the peer's come, and packets of the largest size do not get through the tunnel."""
        return self._probes.continuity.reachable is True and self._passage.continuity.reachable is False

    def status(self, now: float) -> Status:
        current = self._book.current
        return Status(
            link=self._link,
            key_id=current.key_id if current else None,
            key_age_s=now - current.installed_at if current else None,
            live_sas=len(self._book.by_spi),
            last_error=self._exchange.last_error,
        )

    @property
    def settings(self) -> SessionSettings:
        """As they hold for the SAs to come."""
        return self._settings

    @property
    def live(self) -> tuple[SaPair, ...]:
        """The pairs that may receive, the oldest first."""
        return tuple(self._book.by_spi.values())

    @property
    def current(self) -> SaPair | None:
        """The pair that transmits."""
        return self._book.current
