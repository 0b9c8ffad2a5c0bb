"""Probes of an encrypted connection: what its :class:`Prober` asks and hears, signed under the SA in use."""

from __future__ import annotations

from kms.tunnel import control
from kms.tunnel.counters import Counters
from kms.tunnel.effects import Effect, ReachChanged, SendDatagram
from kms.tunnel.keymat import ControlKeys
from kms.tunnel.reach import Prober, Reach
from kms.tunnel.sa import SaBook, SaPair
from kms.tunnel.settings import Role, SessionSettings


class Probing:
    """Each end signs with the link key of its own role, so that nothing can be reflected. Outputs go to ``effects``.

    A probe that has been accepted is not accepted again under its SA, nor is any with a lower number; a reply is
    accepted once, while its question is open. Repetitions are refused before anything is computed.
    """

    def __init__(self, settings: SessionSettings, book: SaBook, effects: list[Effect], counters: Counters) -> None:
        self._role = settings.role
        self._connection = control.connection_tag(settings.connection_id)
        self._book = book
        self._effects = effects
        self._counters = counters
        self._prober = Prober(settings.probe_s, is_leader=settings.role is Role.INITIATOR)
        self._told: tuple[bool | None, str | None] = (None, None)

    @property
    def reach(self) -> Reach:
        return self._prober.reach

    def pace(self, period_s: float) -> None:
        self._prober.pace(period_s)

    def start(self, now: float) -> None:
        self._prober.start(now)

    def stop(self) -> None:
        self._prober.stop()
        self._tell()

    def next_timer(self) -> float | None:
        return self._prober.next_timer()

    def handle_timer(self, now: float) -> None:
        pair = self._book.current
        number = None if pair is None else self._prober.handle_timer(now, self._counters.rx_packets)
        if pair is not None and number is not None:
            probe = control.Probe(pair.outbound.spi, number, self._prober.silence_s(now))
            self._counters.probes_sent += 1
            self._send(probe, pair)
        self._tell()

    def receive(self, message: control.Probe | control.ProbeReply, received: control.Received, now: float) -> None:
        pair = self._book.by_spi.get(message.spi.to_bytes(4, "big"))
        if pair is None or now >= pair.ends_at:
            self._counters.control_ignored += 1
        elif self._is_repeated(message, pair):
            self._counters.probe_replays += 1
        elif not received.is_signed_by(self._peers(pair.control)):
            self._counters.control_auth_failures += 1
        elif isinstance(message, control.Probe):
            pair.highest_probe = message.number
            if self._prober.questioned(message.silence_s, now):
                self._send(control.ProbeReply(pair.outbound.spi, message.number), pair)
        elif self._prober.answered(message.number, now):
            self._counters.probes_answered += 1
        self._tell()

    def _is_repeated(self, message: control.Probe | control.ProbeReply, pair: SaPair) -> bool:
        if isinstance(message, control.Probe):
            return message.number <= pair.highest_probe
        return not self._prober.is_open(message.number)

    def _send(self, message: control.Probe | control.ProbeReply, pair: SaPair) -> None:
        keys = pair.control
        key = keys.initiator if self._role is Role.INITIATOR else keys.responder
        self._effects.append(SendDatagram(control.encode_probe(self._connection, message, key)))

    def _peers(self, keys: ControlKeys) -> bytes:
        return keys.responder if self._role is Role.INITIATOR else keys.initiator

    def _tell(self) -> None:
        known = (self._prober.reach.reachable, self._prober.reach.failing)
        if known != self._told:
            self._told = known
            self._effects.append(ReachChanged())
