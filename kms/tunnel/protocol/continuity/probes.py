"""Probes of an encrypted connection: questions and answers under the control keys of its SAs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from weakref import WeakKeyDictionary

from kms.tunnel.protocol import messages
from kms.tunnel.protocol.continuity.check import Continuity, ContinuityCheck
from kms.tunnel.protocol.counters import Counters
from kms.tunnel.protocol.effects import ContinuityChanged, Effect, SendDatagram
from kms.tunnel.protocol.security_association import SaBook, SaPair
from kms.tunnel.protocol.settings import Role, SessionSettings


class Probes(ABC):
    """Each end signs with the link key of its own role, so that nothing can be reflected. Outputs go to ``effects``.

    A probe that has been accepted is not accepted again under its SA, nor is any with a lower number; a reply is
    accepted once, while its question is open. Repetitions are refused before anything is computed.
    """

    def __init__(
        self,
        settings: SessionSettings,
        book: SaBook,
        effects: list[Effect],
        counters: Counters,
        *,
        name: str,
        period_s: float,
    ) -> None:
        self._mine = settings.sender
        self._connection = messages.connection_tag(name)
        self._book = book
        self._effects = effects
        self._counters = counters
        self._check = ContinuityCheck(period_s, is_leader=settings.role is Role.INITIATOR)
        self._highest: WeakKeyDictionary[SaPair, int] = WeakKeyDictionary()  # number of a probe accepted under it
        self._told: tuple[bool | None, str | None] = (None, None)

    @property
    def continuity(self) -> Continuity:
        return self._check.continuity

    def set_period(self, period_s: float) -> None:
        self._check.set_period(period_s)

    def start(self, now: float) -> None:
        self._check.start(now)

    def stop(self) -> None:
        self._check.stop()
        self._tell()

    def next_timer(self) -> float | None:
        return self._check.next_timer()

    def handle_timer(self, now: float) -> None:
        pair = self._book.current
        number = None if pair is None else self._check.handle_timer(now, self._packets())
        if pair is not None and number is not None:
            probe = messages.Probe(pair.outbound.spi, number, self._check.silence_s(now))
            self._send(probe, pair)
        self._tell()

    def receive(self, message: messages.Probe | messages.ProbeReply, received: messages.Received, now: float) -> None:
        pair = self._book.by_spi.get(message.spi.to_bytes(4, "big"))
        if pair is None or now >= pair.ends_at:
            self._counters.control_ignored += 1
        elif self._is_repeated(message, pair):
            self._counters.probe_replays += 1
        elif not received.is_signed_by(pair.control.of(self._mine.peer)):
            self._counters.control_auth_failures += 1
        elif isinstance(message, messages.Probe):
            self._highest[pair] = message.number
            if self._check.questioned(message.silence_s, now):
                self._send(messages.ProbeReply(pair.outbound.spi, message.number), pair)
        elif self._check.answered(message.number, now):
            self._note_answer()
        self._tell()

    @abstractmethod
    def _packets(self) -> int:
        """Grows with what comes of the peer's beside its probes, and proves the same."""

    @abstractmethod
    def _emit(self, datagram: bytes) -> Effect:
        """How a question or an answer goes to the peer."""

    @abstractmethod
    def _note_answer(self) -> None:
        """A question has been answered."""

    def _is_repeated(self, message: messages.Probe | messages.ProbeReply, pair: SaPair) -> bool:
        if isinstance(message, messages.Probe):
            return message.number <= self._highest.get(pair, 0)
        return not self._check.is_open(message.number)

    def _send(self, message: messages.Probe | messages.ProbeReply, pair: SaPair) -> None:
        signed = messages.encode_probe(self._connection, message, pair.control.of(self._mine))
        self._effects.append(self._emit(signed))

    def _tell(self) -> None:
        known = (self._check.continuity.reachable, self._check.continuity.failing)
        if known != self._told:
            self._told = known
            self._effects.append(ContinuityChanged())


class ContinuityProbes(Probes):
    """Those beside the tunnel: small, frequent, and answered by the session itself."""

    def __init__(self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters) -> None:
        super().__init__(
            settings, book, effects, counters, name=settings.connection_id, period_s=settings.probe_s
        )  # fmt: skip

    def _packets(self) -> int:
        return self._counters.rx_packets

    def _emit(self, datagram: bytes) -> Effect:
        return SendDatagram(datagram)

    def _send(self, message: messages.Probe | messages.ProbeReply, pair: SaPair) -> None:
        self._counters.probes_sent += isinstance(message, messages.Probe)
        super()._send(message, pair)

    def _note_answer(self) -> None:
        self._counters.probes_answered += 1
