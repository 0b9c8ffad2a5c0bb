"""What the agents at both ends of a connection are told about its tunnel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from controller.model.connection import Connection
from controller.model.request import ConnectionSpec, Protection
from controller.model.tunnel_profile import CONSTANT_RATE, DEFAULT_SUITE, NO_PADDING, slots_per_s
from topologies.spec import Topology

MIN_WINDOW, MAX_WINDOW = 1024, 8192  # the tunnel's usual and greatest
DEFAULT_PPS = 1000.0


@dataclass(frozen=True)
class TunnelEndpoint:
    """One end of a connection, as its agent is told.

    The fields are those of the agent's ``ConnectionConfig`` (``kms/tunnel/config.py``), with its defaults; the table
    in ``docs/explanation/tunnel.md`` lists them. A contract test compares the three.
    """

    id: str
    """Of the connection; the same at both ends."""
    role: Literal["initiator", "responder"]
    """The initiator, at the source, fetches keys and offers them."""
    mode: Literal["esp", "clear"]
    """Clear: no tunnel, the inner addresses are put on the underlay's interface."""
    interface: str
    """Of the tunnel, to be made."""
    port: int
    """UDP, at both ends."""
    peer_underlay: str
    """IPv4 address of the peer's host."""
    local_address: str
    """Inner IPv4 address of this end."""
    peer_address: str
    """Inner IPv4 address of the other end."""
    peer_sae: str
    """With whom the keys are shared."""
    key_source: str
    """Of which kind the keys are, by the KMS's name for it."""
    local_address6: str | None = None
    """Inner IPv6 address of this end; None: IPv4 alone."""
    peer_address6: str | None = None
    """Inner IPv6 address of the other end; None exactly when ``local_address6`` is."""
    suite: str = DEFAULT_SUITE
    """The cipher suite's name."""
    rekey_s: float = 3.0
    """How often the key is renewed, in seconds."""
    lifetime_s: float = 60.0
    """How long a key may serve when none follows, in seconds."""
    replay_window: int = MIN_WINDOW
    """How many sequence numbers are remembered."""
    padding: str = NO_PADDING
    """What hides packets' lengths and times: none, mtu, constant-rate."""
    padding_pps: float = DEFAULT_PPS
    """Packets a second that this end sends; of no matter unless ``padding`` is constant-rate."""
    expects_copies: bool = False
    """The network sends each packet over two ways (1+1): the later copy is dropped."""
    repairs: bool = False
    """What is lost on the way is sent again (1:1)."""
    rate_kbps: int | None = None
    """What the network lets through from this end, in kbit/s; None: as much as it can."""
    probe_s: float | None = None
    """How often the peer is asked whether it hears us, in seconds; 0: never; None: as the agent is configured."""

    def differing(self, told: Mapping[str, Any]) -> frozenset[str]:
        """The fields in which ``told``, as :func:`as_wire` made it or an agent lists it, is another end.

        What an agent adds of its own does not count. A field that it does not list is one that it does not know yet:
        it then does what the default says.
        """
        wanted = as_wire(self)
        return frozenset(f.name for f in fields(self) if told.get(f.name, f.default) != wanted[f.name])


MODIFIABLE = frozenset(
    ("key_source", "suite", "rekey_s", "lifetime_s", "replay_window", "expects_copies", "repairs", "rate_kbps")
)
"""The fields that an agent changes of a connection at work; for another difference it must be removed and added."""


def as_wire(endpoint: TunnelEndpoint) -> dict[str, str | int | float | bool | None]:
    """The ``connection`` of an agent's ``add`` and ``modify``. Every field is in it, so that a change back counts."""
    return asdict(endpoint)


def endpoint_at(topology: Topology, connection: Connection, site: str) -> TunnelEndpoint:
    """What the agent at ``site``, one of the connection's two, is told about it."""
    request = connection.request
    is_source = site == request.src
    peer = request.dst if is_source else request.src
    addresses = (connection.src_address, connection.dst_address)
    addresses6 = (connection.src_address6, connection.dst_address6)
    local, remote = addresses if is_source else addresses[::-1]
    local6, remote6 = addresses6 if is_source else addresses6[::-1]
    spec = request.spec
    rate_kbps = spec.rates_kbps[0 if is_source else 1]
    return TunnelEndpoint(
        id=connection.id,
        role="initiator" if is_source else "responder",
        mode="esp" if connection.is_encrypted else "clear",
        interface=connection.tunnel_interface,
        port=connection.tunnel_port,
        peer_underlay=topology.host(peer).data_address,
        local_address=local,
        peer_address=remote,
        local_address6=local6,
        peer_address6=remote6,
        peer_sae=f"sae-{peer}",
        key_source=connection.key_source,
        suite=spec.suite,
        rekey_s=connection.rekey_s,
        lifetime_s=spec.key_lifetime_s,
        replay_window=replay_window(spec),
        padding=spec.padding,
        padding_pps=slots_per_s(rate_kbps) if spec.padding == CONSTANT_RATE else DEFAULT_PPS,
        expects_copies=spec.protection is Protection.ONE_PLUS_ONE,
        repairs=spec.protection is Protection.ONE_TO_ONE,
        rate_kbps=rate_kbps,
    )


def ends_of(connection: Connection) -> tuple[str, str]:
    return connection.request.src, connection.request.dst


SMALLEST_PACKET_BITS = 8 * 100  # an empty datagram in ESP in UDP, with Ethernet and VLAN headers
QUEUEING_US = 20_000
REPAIR_US = 100_000  # for so long the tunnel keeps what it has sent


def replay_window(spec: ConnectionSpec) -> int:
    """How many sequence numbers the tunnel must remember for the later copy to be told from a new packet.

    As many of the smallest packets as the reserved rate carries during the greatest difference of the two ways: the
    latency asked for bounds either way, and the queues on them differ by QUEUEING_US at most; and with 1:1 for as long
    as lost packets are sent again. A power of two. Without a second way the usual window.
    """
    if not spec.protection.has_backup:
        return MIN_WINDOW
    repair_us = REPAIR_US if spec.protection is Protection.ONE_TO_ONE else 0
    packets = max(spec.rates_kbps) * (spec.latency_us + QUEUEING_US + repair_us) // (SMALLEST_PACKET_BITS * 1000)
    return min(MAX_WINDOW, max(MIN_WINDOW, 1 << packets.bit_length()))
