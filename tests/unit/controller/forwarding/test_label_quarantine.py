"""When a label may go to another connection: each condition alone."""

from __future__ import annotations

from controller.forwarding.items import TRANSIT_PRIORITY, Output, Rule, SetField
from controller.forwarding.label_quarantine import QUEUE_PACKETS, LabelQuarantine, longest_queue_s
from controller.forwarding.labels import LabelPool
from controller.forwarding.rules import PortMap
from controller.model.path import Route
from tests.support.small_networks import channel, topology
from topologies.links import QUEUE_PACKETS as QUEUE_OF_A_CHANNEL

TOPOLOGY = topology([channel("ab", "a", "b"), channel("bc", "b", "c")])
PORTS = PortMap.of(TOPOLOGY)
ROUTE = Route(("a", "b", "c"), ("ab", "bc"), 1, 1)
LONG_S = 10.0


def pushing(site: str, channel_id: str, label: int) -> Rule:
    match = (("in_port", 1),)
    actions = (SetField("vlan_vid", label | 0x1000), Output(PORTS.numbers[site, channel_id]))
    return Rule(site, TRANSIT_PRIORITY, match, actions, 0)


def test_a_label_is_free_after_the_barrier_of_its_removal_and_the_longest_queue() -> None:
    quarantine = LabelQuarantine(PORTS)
    number = quarantine.depart("a", [pushing("a", "ab", 7)])
    assert number is not None
    quarantine.release_due(LONG_S)
    assert quarantine.is_held("ab", "a", 7), "nothing has been confirmed"
    assert not quarantine.is_held("ab", "b", 7), "the other direction is another label"
    quarantine.confirm("b", [number], LONG_S)
    quarantine.confirm("a", [number + 1], LONG_S)
    quarantine.release_due(2 * LONG_S)
    assert quarantine.is_held("ab", "a", 7), "another switch, or another change, says nothing about this one"
    quarantine.confirm("a", [number], 2 * LONG_S)
    quarantine.release_due(2 * LONG_S + longest_queue_s(TOPOLOGY, "ab"))
    assert quarantine.is_held("ab", "a", 7), "the last packet may still be under way"
    quarantine.release_due(3 * LONG_S)
    assert not quarantine.is_held("ab", "a", 7)


def test_a_comparison_tells_of_what_was_changed_before_it_was_asked_for() -> None:
    quarantine = LabelQuarantine(PORTS)
    quarantine.depart("a", [pushing("a", "ab", 7)])
    mark = quarantine.mark
    quarantine.depart("a", [pushing("a", "ab", 8)])
    quarantine.compared("a", mark, 0.0)
    quarantine.release_due(LONG_S)
    assert not quarantine.is_held("ab", "a", 7)
    assert quarantine.is_held("ab", "a", 8)
    assert quarantine.unconfirmed("a") == 1


def test_a_pool_passes_over_what_is_in_quarantine_and_each_process_begins_elsewhere() -> None:
    quarantine = LabelQuarantine(PORTS)
    pool = LabelPool(quarantine)
    first = pool.allocate(ROUTE, 1)
    pool.release(first)
    assert pool.allocate(ROUTE, 2).forward == first.forward, "never installed, free at once"
    quarantine.depart("a", [pushing("a", "ab", 2)])
    assert pool.allocate(ROUTE, 3).forward == (3, 2)
    assert set(LabelPool(LabelQuarantine(PORTS), 1).allocate(ROUTE, 1).forward).isdisjoint({1, 2, 3})


def test_the_controller_knows_the_longest_queue_of_a_channel() -> None:
    assert QUEUE_PACKETS == QUEUE_OF_A_CHANNEL
