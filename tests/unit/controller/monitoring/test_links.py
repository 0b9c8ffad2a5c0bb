"""Channel states from port reports: down at once, up after the hold-down, a flap counted once."""

from __future__ import annotations

import pytest

from controller.monitoring.link_state import LinkMonitor, PortReport
from topologies.catalog import metro_ring, ukqntel

TOPOLOGY = ukqntel()
CHANNEL = TOPOLOGY.channel("cell1-agg1-ch1")
PORTS = {site: TOPOLOGY.port_of(site, CHANNEL.id) for site in CHANNEL.ends}


@pytest.fixture
def links() -> LinkMonitor:
    return LinkMonitor(TOPOLOGY, hold_down_s=1.0)


def report(links: LinkMonitor, site: str, is_live: bool, now: float) -> dict[str, bool]:
    return links.report(site, PORTS[site].number, is_live, now)


def test_one_dead_end_takes_the_channel_down_at_once(links: LinkMonitor) -> None:
    assert report(links, "cell1", False, 0.0) == {CHANNEL.id: False}
    assert report(links, "agg1", False, 0.0) == {}
    assert not links.is_up(CHANNEL.id)


def test_it_is_up_when_both_ends_have_been_for_the_hold_down(links: LinkMonitor) -> None:
    report(links, "cell1", False, 0.0)
    report(links, "agg1", False, 0.0)
    assert report(links, "cell1", True, 5.0) == {}
    assert links.due(100.0) == {}  # the other end is still dead
    report(links, "agg1", True, 10.0)
    assert links.due(10.9) == {}
    assert links.due(11.0) == {CHANNEL.id: True}
    assert links.due(12.0) == {}


def test_edge_case_01_a_flap_that_ends_up_counts_once_and_one_that_ends_down_stays_down(links: LinkMonitor) -> None:
    assert report(links, "cell1", False, 0.0) == {CHANNEL.id: False}
    for n in range(1, 10):
        assert report(links, "cell1", True, n * 0.2) == {}
        assert links.due(n * 0.2) == {}
        assert report(links, "cell1", False, n * 0.2) == {}  # at the same time: the later word counts
    assert links.due(100.0) == {}
    assert not links.is_up(CHANNEL.id)


def test_edge_case_02_a_blip_shorter_than_a_reroute_is_not_lost_behind_a_stale_down(links: LinkMonitor) -> None:
    report(links, "cell1", False, 0.0)
    report(links, "cell1", True, 0.3)
    assert report(links, "agg1", True, 0.31) == {}
    assert links.due(1.3) == {CHANNEL.id: True}
    assert links.is_up(CHANNEL.id)


def inventory_of(site: str) -> dict[int, PortReport]:
    return {p.number: PortReport(p.number, p.interface, True) for p in TOPOLOGY.ports(site)}


def test_an_inventory_as_it_should_be_changes_nothing(links: LinkMonitor) -> None:
    assert links.inventory("agg1", inventory_of("agg1"), 0.0) == {}
    assert links.faults == {}


def test_ports_that_are_missing_or_misplaced_are_down_and_named(links: LinkMonitor) -> None:
    ports = TOPOLOGY.ports("cell1")
    reports = inventory_of("cell1")
    del reports[ports[1].number]
    reports[ports[2].number] = PortReport(ports[2].number, "eth7", True)
    assert links.inventory("cell1", reports, 0.0) == {ports[1].channel: False, ports[2].channel: False}
    assert len(links.faults) == 2
    assert any("eth7" in fault for fault in links.faults.values())
    assert links.inventory("cell1", inventory_of("cell1"), 1.0) == {}
    assert links.faults == {}
    assert links.due(2.0) == {ports[1].channel: True, ports[2].channel: True}


def test_the_inventory_notices_a_port_whose_status_message_was_lost(links: LinkMonitor) -> None:
    number = PORTS["agg1"].number
    reports = inventory_of("agg1")
    reports[number] = PortReport(number, PORTS["agg1"].interface, False)
    assert links.inventory("agg1", reports, 0.0) == {CHANNEL.id: False}


def test_ports_of_hosts_and_of_strangers_mean_nothing(links: LinkMonitor) -> None:
    assert links.report("cell1", 1, False, 0.0) == {}
    assert links.report("cell1", 99, False, 0.0) == {}
    assert links.report("nowhere", 2, False, 0.0) == {}


SPARES = metro_ring()
SPARE = SPARES.channel("agg1-metro3-qra")
ENDS = {site: SPARES.port_of(site, SPARE.id) for site in SPARE.ends}


def test_what_a_dark_channel_reports_is_no_failure_and_no_return() -> None:
    links = LinkMonitor(SPARES, hold_down_s=1.0)
    for site, port in ENDS.items():
        assert links.report(site, port.number, False, 0.0) == {}
        assert links.report(site, port.number, True, 1.0) == {}
    assert links.due(100.0) == {}


def test_a_channel_that_is_being_lit_shines_when_both_ends_are_up_and_can_fail_once_it_is_lit() -> None:
    links = LinkMonitor(SPARES, hold_down_s=1.0)
    a, b = ENDS.values()
    links.begin_activation(SPARE.id)
    assert not links.is_activated(SPARE.id)
    links.report(a.site, a.number, True, 0.0)
    assert not links.is_activated(SPARE.id)
    links.report(b.site, b.number, True, 0.0)
    assert links.is_activated(SPARE.id)
    links.set_lit(SPARE.id)
    assert links.is_up(SPARE.id)
    assert links.report(b.site, b.number, False, 1.0) == {SPARE.id: False}
    links.set_dark(SPARE.id)
    assert links.report(b.site, b.number, True, 2.0) == {}
    assert links.due(100.0) == {}


def test_a_dark_port_that_is_up_is_noticed_unless_it_is_being_raised() -> None:
    links = LinkMonitor(SPARES, hold_down_s=1.0)
    site, port = next(iter(ENDS.items()))
    others = {p.number: PortReport(p.number, p.interface, True, is_held_down=True) for p in SPARES.ports(site)}
    up = others | {port.number: PortReport(port.number, port.interface, True)}
    assert links.unexpectedly_up(site, others) == ()
    assert links.unexpectedly_up(site, up) == (SPARE.id,)
    links.begin_activation(SPARE.id)
    assert links.unexpectedly_up(site, up) == ()
    links.set_lit(SPARE.id)
    assert links.unexpectedly_up(site, up) == ()


def test_a_list_that_was_asked_for_before_a_port_spoke_does_not_overrule_it(links: LinkMonitor) -> None:
    topology = ukqntel()
    ports = topology.ports("agg1")
    alive = {p.number: PortReport(p.number, p.interface, is_live=True) for p in ports}
    cut = topology.port_of("agg1", "agg1-metro1-ch5")
    assert links.report("agg1", cut.number, is_live=False, now=10.1) == {"agg1-metro1-ch5": False}
    assert links.inventory("agg1", alive, now=10.2, asked_at=10.0) == {}
    assert links.due(20.0) == {}
    assert links.inventory("agg1", alive, now=20.2, asked_at=20.1) == {}
    assert links.due(30.0) == {"agg1-metro1-ch5": True}
