"""One site's KME as a process of its own: its parts, put together."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping, Sequence

from aiohttp import web

from kms.config import KmsConfig, SiteConfig
from kms.delivery.exchange_party import peer_directory
from kms.delivery.key_delivery import KeyService
from kms.delivery.stream_service import KeyStreams
from kms.distributed.escrow import Escrow
from kms.distributed.hop_relay import PadRelay
from kms.distributed.peer_rpc import Peer, PeerClient, PeerServer
from kms.distributed.peer_transport import PeerTransport
from kms.distributed.remote_streams import PeerStreams
from kms.distributed.section_replication import SharedSections
from kms.errors import ConfigError
from kms.pki.revocation import Revocations
from kms.pki.tls import tls_context
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
        raise ConfigError(f"--site: there is no site {site!r}")
    _check_nodes(config)
    return found


def _check_nodes(config: KmsConfig) -> None:
    """Every node of a QKD section is at a site, and links begin and end at the sites that they join."""
    sites = {each.site for each in config.sites}
    nodes = {node: config.nodes.get(node, node) for section in config.sections for node in (section.a, section.b)}
    for node, site in nodes.items():
        if site not in sites:
            raise ConfigError(f"nodes: QKD node {node!r} is at no site, and so at no process: name one")
    sections = {section.id: section for section in config.sections}
    for n, section in enumerate(config.sections):
        if nodes[section.a] == nodes[section.b]:
            raise ConfigError(f"sections.{n}: both its nodes are at {nodes[section.a]}")
    for n, link in enumerate(config.qkd_links):
        places = {link.a}
        for name in link.sections:
            ends = nodes[sections[name].a], nodes[sections[name].b]
            places = {there for here, there in (ends, ends[::-1]) if here in places}
        if link.b not in places:
            raise ConfigError(f"qkd_links.{n}.sections: they do not lead from {link.a} to {link.b}")


class Node:
    """The KME of one site and its connections to the others."""

    def __init__(
        self, config: KmsConfig, site: SiteConfig, party: Party, sections: Mapping[str, Section],
        links: Sequence[Link], revocations: Revocations,
    ) -> None:  # fmt: skip
        self._site = site.site
        self._directory = peer_directory(config, site)
        self._sites = {each.kme_id: each.site for each in config.sites if each.site != site.site}
        self._revocations = revocations

        def site_of(node: str) -> str:
            return config.nodes.get(node, node)

        peers = {each.site: Peer(each.site, each.kme_id, each.host, each.peer_port) for each in config.sites}
        self._client = PeerClient(peers, self._directory)
        self._escrow = Escrow(site.site, config.available_lifetime_s + _ESCROW_MARGIN_S)
        self._service: KeyService | None = None
        self.sections = SharedSections(site.site, sections, site_of, self._client, self._forget)
        self.network = QkdNetwork(self.sections.mirrors, links, config.nodes)
        self.transport = PeerTransport(party, self.network, self._client, self._escrow, os.urandom, time.time)
        self.transport.relay = PadRelay(
            site.site, self.network, self.sections.pads, site_of, self._client, self.transport.arrived,
            os.urandom, time.time,
        )  # fmt: skip

    def streams_of(self, service: KeyService) -> PeerStreams:
        self._streams = PeerStreams(self._site, service.registry, self._client)
        return self._streams

    def serve(self, service: KeyService, streams: KeyStreams) -> None:
        self._service = self.transport.service = service
        self._streams.streams = streams

    def application(self) -> web.Application:
        handlers = {
            **self.transport.handlers(), "state": self.sections.state, "bits": self.sections.take_bits,
            "stream": self._streams.answer,
        }  # fmt: skip
        return PeerServer(self._sites, handlers, self._revocations.is_revoked).application()

    def tls(self) -> ssl.SSLContext:
        directory = self._directory
        return tls_context(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    async def close(self) -> None:
        await self._client.close()

    def _forget(self, peer: str) -> None:
        """The peer was restarted: it has lost what we agreed on, and knows nothing of what it ordered here."""
        self._escrow.drop_of(peer)
        self._streams.drop_of(peer)
        if self._service is not None:
            self._service.inventory.drop_pools_with(peer)
