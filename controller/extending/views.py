"""The network and what is asked of it, as extensions see them."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.request import ConnectionRequest, SliceRequest, connections_of
from controller.pce.network import Network
from controller.pce.placement import candidates
from scripts.extensions.api import (
    ChannelView,
    ConnectionAsk,
    NetworkView,
    Placement,
    QkdLinkView,
    SectionView,
    SiteView,
    SliceAsk,
    WavelengthView,
)


def network_view(network: Network) -> NetworkView:
    """Everything that there is, in the order of the names."""
    topology = network.topology
    return NetworkView(
        topology.name,
        tuple(_site(network, name) for name in network.index.site_names),
        tuple(_channel(network, channel_id) for channel_id in network.index.channel_ids),
        tuple(
            SectionView(
                s.id, s.a, s.b, network.residual_key_millibps(s.id), network.is_section_usable(s.id),
                s.id not in network.unknown_sections,
            )
            for s in sorted(topology.sections, key=lambda section: section.id)
        ),
        tuple(
            QkdLinkView(link.id, link.a, link.b, link.sections)
            for link in sorted(topology.qkd_links, key=lambda one: one.id)
        ),
        tuple(_wavelength(network, name) for name in network.index.pools.names),
        topology.allocation.value,
        network.index.profile.value,
        network.index.latency.switch_us,
    )  # fmt: skip


def _wavelength(network: Network, name: str) -> WavelengthView:
    wavelength, pools = network.topology.wavelength(name), network.index.pools
    capacity = pools.capacity_kbps[pools.number[name]]
    carried, left = network.carried_kbps(name), network.ports_left(name)
    return WavelengthView(
        name, capacity, (capacity - carried[0], capacity - carried[1]), wavelength.client_ports,
        wavelength.client_ports if left is None else left,
        round(wavelength.client_gbps * network.topology.mbps_per_gbps * 1000),
    )  # fmt: skip


def _site(network: Network, name: str) -> SiteView:
    site, (vcpus, memory_gb) = network.topology.site(name), network.free_compute(name)
    return SiteView(
        name, site.tier.value, site.vcpus, site.memory_gb, vcpus, memory_gb, network.is_site_up(name),
        network.is_open(name),
    )  # fmt: skip


def _channel(network: Network, channel_id: str) -> ChannelView:
    channel, number = network.topology.channel(channel_id), network.index.channel_number[channel_id]
    free = network.residual_kbps(channel_id, channel.a), network.residual_kbps(channel_id, channel.b)
    return ChannelView(
        channel_id, channel.a, channel.b, channel.wavelength, channel.security.label, float(channel.capacity_mbps),
        network.index.capacity_kbps[number], free, float(channel.length_km), network.index.latency_us[number],
        tuple(sorted(channel.risk_groups)), network.is_channel_up(channel_id), network.is_dark(channel_id),
    )  # fmt: skip


def connection_ask(network: Network, request: ConnectionRequest, avoid: frozenset[str] = frozenset()) -> ConnectionAsk:
    """What is asked of one connection, the sites ``avoid`` left out of those that it excludes.

    Of its latency what channels may take: the first switch and the tunnel are off it already.
    """
    spec = request.spec
    return ConnectionAsk(
        id=request.id,
        src=request.src,
        dst=request.dst,
        level=spec.security.level.label,
        sources=tuple(source.label for source in spec.security.methods),
        is_exact=spec.security.match.value == "exact",
        bandwidth_kbps=spec.bandwidth_kbps,
        reverse_bandwidth_kbps=spec.reverse_bandwidth_kbps,
        reserved_kbps=spec.reserved_kbps,
        latency_us=network.index.latency.budget_us(spec),
        key_rate_millibps=spec.key_rate_millibps,
        rekey_s=float(spec.rekey_s),
        suite=spec.suite,
        protection=spec.protection.value,
        priority=spec.priority,
        exclude_sites=tuple(sorted(spec.exclude_sites - avoid)),
        exclude_channels=tuple(sorted(spec.exclude_channels)),
        include_sites=spec.include_sites,
        include_channels=spec.include_channels,
        max_hops=spec.max_hops,
        fallback=tuple(level.label for level in spec.fallback),
    )


def slice_ask(network: Network, request: SliceRequest) -> SliceAsk:
    """What is asked for a slice, with every placement that has the compute."""
    return SliceAsk(
        request.name,
        tuple(placement(network, site, connections_of(request, site)) for site in candidates(network, request)),
    )


def placement(network: Network, site: str | None, requests: Iterable[ConnectionRequest]) -> Placement:
    return Placement(site, tuple(connection_ask(network, request) for request in requests))
