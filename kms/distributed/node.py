"""One site's KME as a process of its own: its parts, put together in the order in which they need each other.

:class:`PeerConnections` asks the other KMEs; a key service is made over its transport, and :class:`PeerAnswers` over
both answers them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from kms.config import KmsConfig, SiteConfig
from kms.delivery.key_delivery import KeyService
from kms.delivery.stream_service import KeyStreams
from kms.distributed.escrow import Escrow
from kms.distributed.hop_relay import RelayReceiver, RelaySender
from kms.distributed.peer_key_service import PeerKeyService
from kms.distributed.peer_messages import RELAY
from kms.distributed.peer_rpc import Endpoint, Peer, PeerClient, endpoint
from kms.distributed.peer_stream_service import PeerStreamService
from kms.distributed.peer_transport import PeerTransport
from kms.distributed.remote_streams import PeerStreams
from kms.distributed.section_replication import SharedSections
from kms.errors import ConfigError
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork
from kms.sources.exchange import Party
from kms.sources.qkd.section import Section

# Copies in escrow outlive the owner's pool, so that it is the owner who drops them first.
_ESCROW_MARGIN_S = 600.0


def sites_of_process(config: KmsConfig, site: str | None) -> tuple[SiteConfig, ...]:
    """The sites whose KMEs this process runs: all of them, or ``site`` alone. ConfigError when it cannot be."""
    if site is None:
        return config.sites
    found = tuple(each for each in config.sites if each.site == site)
    if not found:
        raise ConfigError("--site", f"there is no site {site!r}")
    _check_nodes(config)
    return found


def _check_nodes(config: KmsConfig) -> None:
    """Every node of a QKD section is at a site, and links begin and end at the sites that they join."""
    sites = {each.site for each in config.sites}
    nodes = {node: config.nodes.get(node, node) for section in config.sections for node in (section.a, section.b)}
    for node, site in nodes.items():
        if site not in sites:
            raise ConfigError("nodes", f"QKD node {node!r} is at no site, and so at no process: name one")
    sections = {section.id: section for section in config.sections}
    for n, section in enumerate(config.sections):
        if nodes[section.a] == nodes[section.b]:
            raise ConfigError(f"sections.{n}", f"both its nodes are at {nodes[section.a]}")
    for n, link in enumerate(config.qkd_links):
        places = {link.a}
        for name in link.sections:
            ends = nodes[sections[name].a], nodes[sections[name].b]
            places = {there for here, there in (ends, ends[::-1]) if here in places}
        if link.b not in places:
            raise ConfigError(f"qkd_links.{n}.sections", f"they do not lead from {link.a} to {link.b}")


class PeerConnections:
    """What the KME of one site has of the others: what a key service needs to ask them for keys and streams."""

    def __init__(
        self, config: KmsConfig, site: SiteConfig, party: Party, directory: Path, sections: Mapping[str, Section],
        links: Sequence[Link],
    ) -> None:  # fmt: skip
        """``directory`` has the certificate by which the others know this KME."""

        def site_of(node: str) -> str:
            return config.nodes.get(node, node)

        peers = {each.site: Peer(each.site, each.kme_id, each.host, each.peer_port) for each in config.sites}
        self.site = site.site
        self.party = party
        self.client = PeerClient(peers, directory)
        self.escrow = Escrow(site.site, config.available_lifetime_s + _ESCROW_MARGIN_S)
        self.sections = SharedSections(site.site, sections, site_of, self.client)
        self.network = QkdNetwork(self.sections.mirrors, links, config.nodes)
        self.relay = RelaySender(site.site, self.network, self.sections.pads, site_of, self.client, os.urandom)
        self.transport = PeerTransport(
            party, self.network, self.relay, self.client, self.escrow, os.urandom, time.time
        )  # fmt: skip
        self.streams = PeerStreams(site.site, self.client)

    async def close(self) -> None:
        await self.client.close()


class PeerAnswers:
    """What the KME of one site does for the others, over the connections that it has to them."""

    def __init__(
        self, connections: PeerConnections, service: KeyService, streams: KeyStreams, steady: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._inventory = service.inventory
        self._keys = PeerKeyService(connections.party, connections.escrow, service, time.time, steady)
        self._streams = PeerStreamService(service.registry, streams)
        self._relay = RelayReceiver(
            connections.site, connections.relay, connections.sections.pads, self._keys.arrived, steady
        )  # fmt: skip

    def endpoints(self) -> Sequence[Endpoint]:
        return (
            *self._keys.endpoints(), *self._streams.endpoints(), *self._connections.sections.endpoints(),
            endpoint(RELAY, self._relay.receive),
        )  # fmt: skip

    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What goes on for as long as the KME runs, by its name."""
        sections = self._connections.sections
        return {
            "dealing of QKD bits": sections.pump,
            "watch on the other KMEs": lambda: sections.look(self._forget),
            "measuring of QKD sections": sections.measure,
        }

    def _forget(self, peer: str) -> None:
        """The peer was restarted: it has lost what we agreed on, and knows nothing of what it ordered here."""
        self._connections.escrow.drop_of(peer)
        self._streams.drop_of(peer)
        self._inventory.drop_pools_with(peer)
