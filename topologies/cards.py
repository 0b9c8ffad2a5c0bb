"""The cards of a network's wavelengths: where they stand, whose ends they hold, and what is between them. Pure.

A wavelength's two cards are ``a`` and ``b``. Each has its ends of all circuits of the wavelength, wherever the sites
of those are, and its end of the line. The lines' ends lie in two namespaces in which there is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from topologies.spec import Channel, EncryptionMode, SecurityClass, Topology, TopologyError

LINE_NODES = {"a": "qs-line-a", "b": "qs-line-b"}
"""The nodes that hold the namespaces of the lines' ends; a dash: no site can have this name."""
LINE_MTU = 1700  # a channel's longest frame (1600 and its header), the tag, and 62 octets of ESP in UDP at the most
LINE_PREFIX_LENGTH = 30
_FIRST_LINE = IPv4Address("10.252.0.0")
_FIRST_INDEX = 100_000  # of the lines' interfaces: the kernel tells at once of a pair's carrier whose numbers differ


@dataclass(frozen=True)
class Client:
    """A circuit's end at a card: ``circuit`` numbers those of one wavelength from 1, ``interface`` is the port."""

    circuit: int
    channel: str
    interface: str


@dataclass(frozen=True)
class CardPlan:
    """One card. ``end`` is ``a``, the one that fetches keys and offers them, or ``b``."""

    wavelength: str
    number: int
    """Of the wavelength, from 1."""
    key_source: str
    end: str
    site: str
    peer_site: str
    clients: tuple[Client, ...]

    @property
    def interface(self) -> str:
        """The line's end, in the namespace of that end."""
        return f"line{self.number}"

    @property
    def index(self) -> int:
        """The number of that interface."""
        return _FIRST_INDEX + 2 * self.number + (self.end == "b")

    @property
    def address(self) -> IPv4Interface:
        return IPv4Interface(f"{_address(self.number, self.end)}/{LINE_PREFIX_LENGTH}")

    @property
    def peer(self) -> IPv4Address:
        return _address(self.number, "a" if self.end == "b" else "b")


def _address(number: int, end: str) -> IPv4Address:
    return _FIRST_LINE + 4 * number + (1 if end == "a" else 2)


def sealing_cards(
    topology: Topology, mode: EncryptionMode, always: Iterable[SecurityClass] = ()
) -> tuple[CardPlan, ...]:
    """All cards that seal, in pairs: a's, then b's. TopologyError where the network and the mode contradict.

    ``always``: methods of which every key of QKD gets a part too.
    """
    if not mode.cards_seal:
        return ()
    return tuple(_cards(topology, mode, tuple(always)))


def _keys_of(security: SecurityClass, always: tuple[SecurityClass, ...]) -> str:
    """By the KMS' name: the strongest first."""
    methods = {security, *(always if security is SecurityClass.QKD else ())}
    return "+".join(method.label for method in sorted(methods, reverse=True))


def _cards(topology: Topology, mode: EncryptionMode, always: tuple[SecurityClass, ...]) -> Iterator[CardPlan]:
    circuits: dict[str, list[Channel]] = {}
    for channel in topology.channels:
        circuits.setdefault(channel.wavelength, []).append(channel)
    for number, wavelength in enumerate(topology.wavelengths, start=1):
        channels, ends = circuits.get(wavelength.id), topology.cards_of(wavelength.id)
        if channels is None or ends is None or wavelength.security is SecurityClass.NONE:
            continue
        if not wavelength.encryptor:
            if not mode.hosts_seal:
                raise TopologyError(
                    f"wavelength {wavelength.id}: its class is {wavelength.security.label}, and it has no encryptor: "
                    f"with encryption.mode {mode.value} nothing would seal there; choose host or both, or class none"
                )
            continue
        attached = next((channel.id for channel in channels if channel.attached), None)
        if attached is not None:
            raise TopologyError(
                f"wavelength {wavelength.id}: channel {attached} is attached: what seals between its interfaces is not "
                "ours; choose encryption.mode host, or `encryptor: false` with both"
            )
        for end, site, peer_site in (("a", *ends), ("b", *reversed(ends))):
            clients = tuple(_client(topology, n, channel, ends, end) for n, channel in enumerate(channels, start=1))
            keys = _keys_of(wavelength.security, always)
            yield CardPlan(wavelength.id, number, keys, end, site, peer_site, clients)


def _client(topology: Topology, circuit: int, channel: Channel, ends: tuple[str, str], end: str) -> Client:
    """A circuit that runs from where card b stands, or to where a does, is the other way round."""
    is_turned = channel.a == ends[1] or channel.b == ends[0]
    site = channel.b if (end == "a") is is_turned else channel.a
    return Client(circuit, channel.id, topology.port_of(site, channel.id).interface)
