"""Labels, cookies, the intended set and its comparison with what is installed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.forwarding.intended import Changes, IntendedSet, compare
from controller.forwarding.items import SHARED_COOKIE, Item, Meter, Output, Rule
from controller.forwarding.label_quarantine import LabelQuarantine
from controller.forwarding.labels import MAX_LABEL, LabelPool, LabelsExhausted
from controller.forwarding.rules import (
    PortMap,
    arp_responder,
    base_rules,
    connection_number,
    cookie_of,
    entry_items,
)
from controller.model.connection import Connection
from controller.model.path import Lane, Route
from controller.model.request import ConnectionRequest, ConnectionSpec, Role, SecurityRequirement
from kms.tunnel.packet.esp import inner_mtu
from tests.support.small_networks import channel, topology
from topologies.spec import SecurityClass

HOST_MTU = 1500  # of hosts' interfaces (topologies.net, whose import needs Mininet)
ETHERNET_OCTETS = 14 + 4  # header, and a tag or the check sequence where a switch counts them
PORTS = PortMap.of(topology([channel("ab", "a", "b"), channel("bc", "b", "c")]))
ROUTE = Route(("a", "b", "c"), ("ab", "bc"), 10, 1)
BACK = Route(("c", "b"), ("bc",), 10, 1)


def a_connection(number: int, generation: int) -> tuple[Connection, Lane]:
    spec = ConnectionSpec(SecurityRequirement((SecurityClass.NONE,)), 1000, 1000)
    lane = Lane(ROUTE, (1, 1), (1, 1), generation)
    return Connection(ConnectionRequest("s", "c", Role.ACCESS, "a", "c", spec), number, (lane,), generation), lane


def test_labels_are_the_lowest_free_per_channel_and_direction() -> None:
    pool = LabelPool(LabelQuarantine(PORTS))
    first, second = pool.allocate(ROUTE, 1), pool.allocate(ROUTE, 1)
    assert (first.forward, first.reverse) == ((1, 1), (1, 1))
    assert (second.forward, second.reverse) == ((2, 2), (2, 2))
    # The other way along the same channel shares the pool of whoever sends.
    assert pool.allocate(BACK, 1).forward == (3,)
    pool.release(first)
    assert pool.allocate(ROUTE, 1).forward == (1, 1)


def test_labels_run_out_per_channel_all_or_nothing() -> None:
    pool = LabelPool(LabelQuarantine(PORTS))
    short = Route(("b", "c"), ("bc",), 1, 1)
    lanes = [pool.allocate(short, 1) for _ in range(MAX_LABEL)]
    assert len({lane.forward[0] for lane in lanes}) == MAX_LABEL
    with pytest.raises(LabelsExhausted, match="bc"):
        pool.allocate(ROUTE, 1)
    assert pool.taken("ab", "a") == pool.taken("ab", "b") == 0
    pool.release(lanes[17])
    assert pool.allocate(ROUTE, 1).forward == (1, lanes[17].forward[0])


def test_claimed_labels_are_not_given_out_again() -> None:
    pool = LabelPool(LabelQuarantine(PORTS))
    pool.claim(Lane(ROUTE, (1, 2), (2, 1), 4))
    lane = pool.allocate(ROUTE, 5)
    assert lane.forward == (2, 1)
    assert lane.reverse == (1, 2)


def test_a_cookie_names_connection_and_generation() -> None:
    seen = set()
    for number in (0, 1, 32_767):
        for generation in (1, 2, 0xFF_FFFF):
            cookie = cookie_of(*a_connection(number, generation))
            assert cookie >> 48 == 0x5153
            assert connection_number(cookie) == number
            seen.add(cookie)
    assert len(seen) == 9
    assert connection_number(SHARED_COOKIE) is None
    assert connection_number(0xDEAD << 32) is None


@pytest.mark.parametrize("rate_kbps", [1, 10, 100, 1000, 100_000])
@pytest.mark.parametrize("is_ipv6", [False, True])
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_fault_37_a_meter_lets_the_largest_datagram_through_at_once(
    rate_kbps: int, is_encrypted: bool, is_ipv6: bool
) -> None:
    made, _ = a_connection(1, 1)
    spec = replace(made.request.spec, bandwidth_kbps=rate_kbps)
    made = replace(made, request=replace(made.request, spec=spec))
    meters = [item for item in entry_items(PORTS, made) if isinstance(item, Meter)]
    assert len(meters) == 2
    assert min(meter.burst_kbits for meter in meters) * 1000 >= 8 * largest_burst_octets(is_encrypted, is_ipv6)


def largest_burst_octets(is_encrypted: bool, is_ipv6: bool) -> int:
    """What a host sends, Ethernet included, of a datagram of 65,535 octets; a tunnel pads each frame in full."""
    mtu = inner_mtu(HOST_MTU) if is_encrypted else HOST_MTU
    headers = 40 + 8 if is_ipv6 else 20  # RFC 8200, 4.5
    fragment = (mtu - headers) // 8 * 8
    fragments = -(-(65_535 - 20) // fragment)
    if is_encrypted:
        return fragments * (HOST_MTU + ETHERNET_OCTETS)
    return 65_535 - 20 + fragments * (headers + ETHERNET_OCTETS)


def rule(port: int, out: int, cookie: int = 1, site: str = "a") -> Rule:
    return Rule(site, 100, (("in_port", port),), (Output(out),), cookie)


def test_shared_items_stay_until_the_last_owner_lets_go() -> None:
    intended = IntendedSet(["a"], LabelQuarantine(PORTS))
    shared = arp_responder("a", "10.0.0.1", "02:00:00:00:00:01")
    assert intended.assign("x", [shared]) == {"a": Changes(add=(shared,))}
    assert intended.assign("y", [shared]) == {}
    assert intended.assign("x", []) == {}
    assert intended.assign("y", []) == {"a": Changes(remove=(shared,))}
    assert intended.at("a") == frozenset(base_rules("a"))


def test_a_rule_that_takes_over_a_key_is_added_over_it_and_nothing_is_removed() -> None:
    intended = IntendedSet(["a"], LabelQuarantine(PORTS))
    old, new = rule(1, 2, cookie=1), rule(1, 3, cookie=2)
    intended.assign("x", [old])
    assert intended.assign("x", [new]) == {"a": Changes(add=(new,))}
    assert intended.at("a") == {*base_rules("a"), new}


def test_a_meter_that_changes_is_replaced() -> None:
    intended = IntendedSet(["a"], LabelQuarantine(PORTS))
    intended.assign("x", [Meter("a", 1, 100, 10)])
    assert intended.assign("x", [Meter("a", 1, 200, 20)]) == {"a": Changes(replace=(Meter("a", 1, 200, 20),))}


def test_what_is_installed_is_missing_excess_or_misconfigured() -> None:
    right, wrong, stranger, absent = rule(1, 2), rule(2, 9), rule(3, 3), rule(4, 4)
    wanted: list[Item] = [right, rule(2, 2), absent, Meter("a", 1, 100, 10)]
    difference = compare(wanted, [right, wrong, stranger, Meter("a", 1, 50, 10)])
    assert difference.missing == (absent,)
    assert difference.excess == (stranger,)
    assert {i for _, i in difference.misconfigured} == {rule(2, 2), Meter("a", 1, 100, 10)}
    repair = difference.repair()
    assert set(repair.add) == {absent, rule(2, 2)}
    assert repair.remove == (stranger,)
    assert repair.replace == (Meter("a", 1, 100, 10),)
    assert compare(wanted, wanted).is_empty
