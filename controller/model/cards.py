"""The cards at the ends of wavelengths where these seal: which there are, what they seal with, what it costs in keys.

A pair of cards has one key, shared by all clients of its wavelength and renewed every 3 s (paper 001, section 2): what
it takes does not grow with the slices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.model.request import SecurityRequirement
from topologies.spec import CARD_KEY_BITS, CARD_REKEY_S, EncryptionMode, SecurityClass, Topology

PRIORITY = 100  # as slices ask for it: the highest, since a wavelength without a key takes all of its clients along


@dataclass(frozen=True)
class CardPair:
    """The two cards of a wavelength, at sites in the order of their names."""

    wavelength: str
    a: str
    b: str
    security: SecurityClass
    rekey_s: float = CARD_REKEY_S
    always: tuple[SecurityClass, ...] = ()  # what the operator adds to keys of QKD

    @property
    def owner(self) -> str:
        """Under which it holds key rate. No connection's: those have a slash."""
        return f"wavelength {self.wavelength}"

    @property
    def key_source(self) -> str:
        """By the KMS' name for it."""
        return card_keys_of(self.security, self.always)

    @property
    def key_rate_millibps(self) -> int:
        """Secret key it takes of QKD, in thousandths of a bit per second."""
        return round(CARD_KEY_BITS * 1000 / self.rekey_s) if self.security is SecurityClass.QKD else 0


def card_keys_of(security: SecurityClass, always: tuple[SecurityClass, ...]) -> str:
    """Where a card of that class has its keys from, by the KMS' name, with what the operator adds."""
    return SecurityRequirement((security,), always=always).key_source


def card_pairs(
    topology: Topology, encryption: EncryptionMode, always: tuple[SecurityClass, ...] = ()
) -> tuple[CardPair, ...]:
    """Of every wavelength that is sealed, in the order of their ids; none where hosts alone seal."""
    if not encryption.cards_seal:
        return ()
    sealed = _sealed(topology)
    pairs = []
    for wavelength in sorted(topology.wavelengths, key=lambda w: w.id):
        ends = topology.cards_of(wavelength.id)
        if wavelength.id in sealed and ends is not None:
            a, b = sorted(ends)
            pairs.append(CardPair(wavelength.id, a, b, wavelength.security, always=always))
    return tuple(pairs)


def as_sealed(topology: Topology, encryption: EncryptionMode) -> Topology:
    """The topology whose classes are those of the keys under which channels are sealed.

    Where cards alone seal, a channel without one carries everything in the clear, whatever keys would be there for
    it: it is of class ``none``. Tunnels between hosts have keys of their own, and classes stay as they are.
    """
    if encryption.hosts_seal:
        return topology
    sealed = _sealed(topology)
    clear = SecurityClass.NONE
    return replace(
        topology,
        wavelengths=tuple(
            w if w.id in sealed else replace(w, security=clear, encryptor=False) for w in topology.wavelengths
        ),
        channels=tuple(c if c.wavelength in sealed else replace(c, security=clear) for c in topology.channels),
    )


def weakest(topology: Topology, channels: Iterable[str]) -> SecurityClass:
    """The class of the weakest of these channels, in a topology :func:`as_sealed`; ValueError without any."""
    return min(topology.channel(channel).security for channel in channels)


def _sealed(topology: Topology) -> frozenset[str]:
    """Wavelengths with encrypting cards. What is attached has somebody else's line in between, and none of ours."""
    attached = {c.wavelength for c in topology.channels if c.attached}
    return frozenset(w.id for w in topology.wavelengths if w.encryptor and w.id not in attached)
