"""How a channel that has just been lit is tried before it carries anything: frames out at each end, heard at the other.

Carrier is not enough: a fibre can be joined wrongly or lose everything in one direction. Values only.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.forwarding.items import ARP_PRIORITY, CONTROLLER_PORT, SHARED_COOKIE, Output, Rule
from controller.forwarding.rules import PortMap
from topologies.spec import Topology

ETH_TRIAL = 0x88B5  # IEEE 802, table 4: local experimental EtherType 1
TRIAL_OWNER = "trial"  # of the rules, among what the switches shall hold
TRIAL_FRAME = bytes.fromhex("025153ffffff" + "025153fffffe") + ETH_TRIAL.to_bytes(2, "big") + bytes(46)


def trial_rules(topology: Topology, ports: PortMap, channels: Iterable[str]) -> tuple[Rule, ...]:
    """While channels are tried, both ends hand over to the controller what arrives on them of the trial's kind."""
    return tuple(
        Rule(
            site,
            ARP_PRIORITY,
            (("eth_type", ETH_TRIAL), ("in_port", ports.numbers[site, channel])),
            (Output(CONTROLLER_PORT),),
            SHARED_COOKIE,
        )
        for channel in channels
        for site in topology.channel(channel).ends
    )
