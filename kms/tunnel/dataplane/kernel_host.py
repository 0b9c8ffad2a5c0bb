"""This host's kernel: whether it can carry tunnels, what an earlier agent has left in it, what it has refused."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address
from pathlib import Path

from kms.tunnel.config import ConnectionConfig
from kms.tunnel.dataplane import netlink, xfrm
from kms.tunnel.errors import Unavailable
from kms.tunnel.packet.cipher_suites import DEFAULT, SALT_BYTES, SUITES, Suite
from kms.tunnel.packet.ip_header import AddressPair
from kms.tunnel.packet.traffic_padding import Padding

MARK = 0x5153_0000  # the upper half of our interfaces' numbers; the lower is the connection's port
_PROBE_INTERFACE = "qslice-probe"
_STATISTICS = Path("/proc/self/net/xfrm_stat")
REFUSALS = {
    "unknown_spi": ("XfrmInNoStates",),
    # The SA's own selector is asked first, then the policies; the first counter has other encapsulations as well.
    "selector": ("XfrmInStateMismatch", "XfrmInNoPols"),
    "unprotected": ("XfrmInTmplMismatch",),
    "no_sa": ("XfrmOutPolBlock",),
}
"""What the kernel has refused on this host and does not count by connection."""


def probe(underlay_interface: str) -> str | None:
    """Why this kernel cannot carry tunnels here; None when it can. Tried out, and undone."""
    if_id = MARK
    lacks = _lacks_suite(DEFAULT)
    if lacks is not None:
        return lacks
    try:
        index = socket.if_nametoindex(underlay_interface)
        netlink.carry_out([xfrm.add_interface(_PROBE_INTERFACE, index, if_id)], (errno.EEXIST,))
        netlink.carry_out([xfrm.remove_interface(_PROBE_INTERFACE, socket.if_nametoindex(_PROBE_INTERFACE))])
    except OSError as error:
        return f"no xfrm interfaces: {error.strerror}"
    return None


def _lacks_suite(suite: Suite) -> str | None:
    one, two, three, four = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3, 4))
    ends = xfrm.Ends(one, two, (AddressPair(three, four),))
    state = xfrm.State(ends, 0x1FF, 1, MARK, 64, 1, bytes(suite.key_bytes), bytes(SALT_BYTES), suite)
    try:
        netlink.carry_out([xfrm.add_state(state)], (errno.EEXIST,), family=netlink.XFRM)
        netlink.carry_out([xfrm.remove_state(ends.destination, state.spi)], netlink.GONE, family=netlink.XFRM)
    except OSError as error:
        return f"no ESP with {suite.name}: {error.strerror}"
    return None


def sweep() -> None:
    """Remove what an agent that was killed has left in this namespace: everything that bears our numbers."""
    try:
        for name, index, if_id in xfrm.interfaces(netlink.dump(xfrm.ALL_LINKS)):
            if is_ours(if_id):
                netlink.carry_out([xfrm.remove_interface(name, index)], netlink.GONE)
        removals = [
            *(request for if_id, request in xfrm.states(netlink.dump(xfrm.ALL_STATES, netlink.XFRM)) if is_ours(if_id)),
            *(
                request
                for if_id, request in xfrm.policies(netlink.dump(xfrm.ALL_POLICIES, netlink.XFRM))
                if is_ours(if_id)
            ),
        ]
        netlink.carry_out(removals, netlink.GONE, family=netlink.XFRM)
    except OSError as error:
        raise Unavailable(f"what an earlier agent left: {error.strerror}") from error


def is_ours(if_id: int) -> bool:
    return if_id & 0xFFFF_0000 == MARK


def refuses(config: ConnectionConfig) -> str | None:
    """Why the kernel cannot carry this connection, though it could others."""
    if config.replay_window > xfrm.MAX_REPLAY_WINDOW:
        return f"a replay window over {xfrm.MAX_REPLAY_WINDOW}"
    if config.repairs:
        return "it keeps nothing that could be sent again"
    if config.padding is not Padding.NONE:
        return "it pads nothing"
    if config.suite not in SUITES:
        return f"{config.suite} is an extension's suite, which user space alone has"
    return None if config.suite == DEFAULT.name else _lacks_suite(SUITES[config.suite])


def host_refusals() -> dict[str, int]:
    """By our names for them; empty where the kernel does not count."""
    try:
        lines = _STATISTICS.read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split() for line in lines if len(line.split()) == 2)
    return {ours: sum(int(values.get(name, "0")) for name in theirs) for ours, theirs in REFUSALS.items()}


def remove_leftover(name: str) -> None:
    """The interface of a connection that has been removed, which the kernel did not let go. Raises OSError."""
    for found, index, if_id in xfrm.interfaces(netlink.dump(xfrm.ALL_LINKS)):
        if found == name and is_ours(if_id):
            netlink.carry_out([xfrm.remove_interface(name, index)], netlink.GONE)
