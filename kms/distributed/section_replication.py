"""The QKD sections as the processes share them: where each is simulated, what either end holds, what is known of it.

A section is simulated whole, both its ends, in the process of its first node's site, as the quantum channel itself
has to be in one place; each end's bits then go to that end's KME. Over a real device they would come from the device.
What goes over this stands for the fibre, and is not part of what the relay's secrecy rests on in a real network.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

from kms.distributed.one_time_pads import Pads
from kms.distributed.peer_messages import (
    BITS,
    STATE,
    NodeReport,
    Nothing,
    SectionBits,
    SectionReport,
)
from kms.distributed.peer_rpc import Endpoint, PeerClient, endpoint
from kms.errors import ExchangeError, KmsError
from kms.sources.qkd.link.attacks import Attack
from kms.sources.qkd.section import Section, SectionState

_log = logging.getLogger(__name__)

CHUNK_BYTES = 2_048  # of the section's bits, half for either direction
PADS_BYTES = 16_384  # per direction, beyond which no more are dealt out
PUMP_INTERVAL_S = 0.02
LOOK_INTERVAL_S = 0.3
LOOK_TIMEOUT_S = 1.0


class SectionMirror(Section):
    """What this process knows of a section: routing looks at it, the operator too."""

    known_qber: float | None = None
    known_skr_bps: float = 0.0
    known_available_bits: int = 0

    @classmethod
    def of(cls, section: Section) -> SectionMirror:
        mirror = cls(**{f.name: getattr(section, f.name) for f in dataclasses.fields(section) if f.init})
        mirror.state = SectionState.STARTING
        return mirror

    @property
    def qber(self) -> float | None:
        return self.known_qber

    @property
    def skr_bps(self) -> float:
        return self.known_skr_bps if self.is_usable else 0.0

    @property
    def available_bits(self) -> int:
        return self.known_available_bits if self.is_usable else 0


class SharedSections:
    """Every section, seen from one site."""

    def __init__(
        self, site: str, sections: Mapping[str, Section], site_of: Callable[[str], str], client: PeerClient
    ) -> None:
        self._site = site
        self._site_of = site_of
        self._client = client
        self.boot = secrets.token_hex(8)
        self._boots: dict[str, str] = {}
        self.mirrors = {name: SectionMirror.of(section) for name, section in sections.items()}
        self.hosted = {name: s for name, s in sections.items() if site_of(s.a) == site}
        self.pads = {name: Pads() for name, s in sections.items() if site in (site_of(s.a), site_of(s.b))}
        # What the far ends said that they have left to send with, in bytes.
        self._sendable_there: dict[str, int] = {}

    # What others ask

    async def state(self, peer: str, body: Nothing) -> NodeReport:
        """Who this is since its start, and what it knows of its own sections."""
        hosted = {
            name: SectionReport(
                state=section.state, stop_reason=section.stop_reason, qber=self.mirrors[name].known_qber,
                skr_bps=self.mirrors[name].known_skr_bps, attack=section.attack.kind, fraction=section.attack.fraction,
                is_cut=section.is_cut,
            )
            for name, section in self.hosted.items()
        }  # fmt: skip
        sendable = {name: pads.sendable for name, pads in self.pads.items()}
        return NodeReport(boot=self.boot, hosted=hosted, sendable=sendable)

    async def take_bits(self, peer: str, body: SectionBits) -> Nothing:
        """Our end's bits of a section that the peer simulates."""
        mirror = self.mirrors.get(body.section)
        if mirror is None or self._site_of(mirror.a) != peer or self._site_of(mirror.b) != self._site:
            raise ExchangeError("bits come for a QKD section that does not join these KMEs")
        pads = self.pads[body.section]
        if body.generation != pads.generation:
            if body.at != 0:
                raise ExchangeError("bits come for a generation that this end does not know")
            pads.begin(body.generation)
        pads.store_to_receive(body.at, body.forward)
        pads.store_to_send(body.at, body.backward)
        return Nothing()

    def endpoints(self) -> Sequence[Endpoint]:
        return endpoint(STATE, self.state), endpoint(BITS, self.take_bits)

    # Background

    async def pump(self) -> None:
        """Deal the bits of the sections that are simulated here out to their two ends, until cancelled."""
        for name in self.hosted:
            self._begin_anew(name)
        while True:
            for name, section in self.hosted.items():
                mirror = self.mirrors[name]
                section.attack = mirror.attack
                if section.is_cut != mirror.is_cut:
                    (section.cut if mirror.is_cut else section.mend)()
                try:
                    await self._deal(name, section)
                except Exception:  # noqa: BLE001 -- what ails one section is not to concern the others
                    _log.exception("QKD section %s: its bits could not be dealt out: both ends begin anew", name)
                    self._begin_anew(name)
                self._mirror_own(name, section)
            await asyncio.sleep(PUMP_INTERVAL_S)

    async def measure(self) -> None:
        """Take note of the error rates and key rates of what is simulated here, until cancelled."""
        while True:
            for name, section in self.hosted.items():
                mirror = self.mirrors[name]
                mirror.known_qber, mirror.known_skr_bps = section.qber, section.skr_bps
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _deal(self, name: str, section: Section) -> None:
        pads = self.pads[name]
        far = self._site_of(section.b)
        if far not in self._boots:
            return  # it has not been seen yet
        while min(pads.sendable, self._sendable_there.get(name, 0)) < PADS_BYTES and pads.sendable < 4 * PADS_BYTES:
            try:
                alice, bob = section.take(CHUNK_BYTES)
            except KmsError:
                return
            half = CHUNK_BYTES // 2
            at = pads.sent_to
            generation = pads.generation
            pads.store_to_receive(at, alice[half:])
            bits = SectionBits(section=name, generation=generation, at=at, forward=bob[:half], backward=bob[half:])
            try:
                await self._client.call(far, BITS, bits)
            except KmsError as error:
                # Whether they arrived is not known: both ends begin anew.
                _log.debug("QKD section %s: %s", name, error)
                self._begin_anew(name)
                return
            if pads.generation == generation:
                pads.store_to_send(at, alice[:half])
                self._sendable_there[name] = self._sendable_there.get(name, 0) + half

    def _mirror_own(self, name: str, section: Section) -> None:
        mirror = self.mirrors[name]
        mirror.state = section.state if self._site_of(section.b) in self._boots else SectionState.STARTING
        mirror.stop_reason = section.stop_reason
        self._count(name)

    def _count(self, name: str) -> None:
        here = self.pads[name].sendable if name in self.pads else self._sendable_there.get(name, 0)
        self.mirrors[name].known_available_bits = 8 * min(here, self._sendable_there.get(name, here))

    async def look(self, on_peer_restarted: Callable[[str], None]) -> None:
        """See how the other KMEs are, until cancelled; those that were restarted, or do not answer, are told of."""
        while True:
            others = [site for site in self._client.peers if site != self._site]
            looks = (self._look_at(site, on_peer_restarted) for site in others)
            for site, problem in zip(others, await asyncio.gather(*looks, return_exceptions=True), strict=True):
                if isinstance(problem, Exception):
                    # What one KME tells, and what it leads to here, is not to keep us from seeing the others.
                    _log.error("the KME of %s could not be looked at", site, exc_info=problem)
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _look_at(self, peer: str, on_peer_restarted: Callable[[str], None]) -> None:
        try:
            report = await self._client.call(peer, STATE, Nothing(), LOOK_TIMEOUT_S)
        except KmsError:
            # Nothing goes over its sections until it is back.
            for name, mirror in self.mirrors.items():
                if peer in self._ends(name):
                    mirror.state = SectionState.STARTING
                    mirror.known_available_bits = 0
            if self._boots.pop(peer, None) is not None:
                _log.warning("the KME of %s does not answer", peer)
                self._begin_anew_with(peer)
                on_peer_restarted(peer)
            return
        if self._boots.get(peer, report.boot) != report.boot:
            self._begin_anew_with(peer)
            on_peer_restarted(peer)
        self._boots[peer] = report.boot
        for name, section in report.hosted.items():
            self._take_over(name, peer, section)
        for name, count in report.sendable.items():
            if name in self.mirrors and peer in self._ends(name):
                self._sendable_there[name] = count
                self._count(name)

    def _take_over(self, name: str, peer: str, report: SectionReport) -> None:
        mirror = self.mirrors.get(name)
        if mirror is None or self._site_of(mirror.a) != peer:
            return
        mirror.state, mirror.stop_reason, mirror.is_cut = report.state, report.stop_reason, report.is_cut
        mirror.known_qber, mirror.known_skr_bps = report.qber, report.skr_bps
        mirror.attack = Attack(report.attack, report.fraction)

    def _begin_anew_with(self, peer: str) -> None:
        for name in self.hosted:
            if peer in self._ends(name):
                self._begin_anew(name)

    def _begin_anew(self, name: str) -> None:
        self.pads[name].begin(secrets.token_hex(8))
        self._sendable_there[name] = 0

    def _ends(self, name: str) -> tuple[str, str]:
        mirror = self.mirrors[name]
        return self._site_of(mirror.a), self._site_of(mirror.b)
