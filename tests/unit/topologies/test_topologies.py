"""The catalogue keeps its promises, and a topology that cannot exist is refused with the element's name."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import networkx as nx
import pytest

from topologies.catalog import CATALOG, load
from topologies.graphs.distances import haversine_km
from topologies.spec import SecurityClass, Site, Tier, Topology, TopologyError, topology_from_dict

INTERFACE_NAME_LIMIT = 15  # the kernel's IFNAMSIZ, less its terminator


@pytest.fixture(params=sorted(CATALOG))
def topology(request: pytest.FixtureRequest) -> Topology:
    return load(request.param)


def test_ukqntel_is_the_papers_test_bed() -> None:
    topology = load("ukqntel")
    assert Counter(s.tier for s in topology.sites) == {Tier.CELL: 2, Tier.AGGREGATION: 1, Tier.METRO: 1, Tier.CORE: 1}
    for pair in (("cell1", "agg1"), ("cell2", "agg1"), ("agg1", "metro1"), ("metro1", "core1")):
        classes = Counter(c.security for c in topology.channels if c.ends == pair)
        assert classes == {SecurityClass.NONE: 1, SecurityClass.DH: 1, SecurityClass.QRA: 1, SecurityClass.QKD: 2}
    assert len(topology.channels) == 20
    assert len(topology.sections) == 4
    assert sum(s.length_km for s in topology.sections) == 121
    ends = Counter(node for s in topology.sections for node in (s.a, s.b))
    assert [node for node, n in ends.items() if n == 2] == ["tn1", "tn2", "tn3"]


UK_FIBRE = "fibre-adastral-cambridge"


@pytest.mark.parametrize(("name", "km"), [("ukqntel", 121), ("ukqntel-242km", 242), ("ukqntel-cow", 121)])
def test_one_fibre_carries_all_of_the_test_bed(name: str, km: float) -> None:
    """Paper 002, section 2: a looped fibre of 121 km, 242 km in total, with the channels and the QKD on it."""
    topology = load(name)
    assert all(UK_FIBRE in channel.risk_groups for channel in topology.channels)
    assert all(UK_FIBRE in section.risk_groups for section in topology.sections)
    assert {c.length_km for c in topology.channels} == {km}
    assert sum(s.length_km for s in topology.sections) == 121
    assert topology.risk_groups() == ("ch1", "ch2", "ch3", "ch4", "ch5", UK_FIBRE)


def test_the_devices_of_ukqntel_speak_cow_and_take_long_to_restart() -> None:
    sections = load("ukqntel-cow").sections
    assert {(s.protocol, s.model) for s in sections} == {("cow", "rate")}
    assert all(s.restart_s > 0 for s in sections)
    assert all(s.restart_s == 0 for s in load("ukqntel").sections)


def test_uk_east_is_as_long_as_the_roads_between_its_towns() -> None:
    """Paper 001, Fig. 5; great circles times 1.5, the routing factor of ITU-T G.826 below 1000 km."""
    at = {
        "Felixstowe": (1.351, 51.963), "Woodbridge": (1.318, 52.094), "Ipswich": (1.155, 52.059),
        "Cambridge": (0.119, 52.205), "London": (-0.128, 51.507),
    }  # fmt: skip
    topology = load("uk-east")
    places = {site.name: at[site.label] for site in topology.sites}
    for channel in topology.channels:
        km = 1.5 * haversine_km(places[channel.a], places[channel.b])
        assert channel.length_km == pytest.approx(km, abs=0.05)
    assert {site.label: site.tier.value for site in topology.sites} == {
        "Felixstowe": "cell", "Woodbridge": "cell", "Ipswich": "aggregation", "Cambridge": "metro", "London": "core",
    }  # fmt: skip
    assert max(section.length_km for section in topology.sections) < 32
    for section in topology.sections:
        assert section.risk_groups <= {group for c in topology.channels for group in c.risk_groups}


def test_circuits_of_one_wavelength_share_its_risk() -> None:
    topology = load("ukqntel")
    for wavelength in topology.wavelengths:
        circuits = [c for c in topology.channels if c.wavelength == wavelength.id]
        assert len(circuits) == 4
        assert all(wavelength.id in c.risk_groups for c in circuits)


@pytest.mark.parametrize("security", list(SecurityClass))
def test_metro_ring_offers_every_class_on_disjoint_ways(security: SecurityClass) -> None:
    topology = load("metro-ring")
    graph = nx.Graph((c.a, c.b) for c in topology.channels if c.security is security)
    cells = [s.name for s in topology.sites if s.tier is Tier.CELL]
    cores = [s.name for s in topology.sites if s.tier is Tier.CORE]
    for cell, core in product(cells, cores):
        assert nx.node_connectivity(graph, cell, core) >= 2


def test_metro_ring_relays_keys_two_ways() -> None:
    topology = load("metro-ring")
    links = nx.Graph((q.a, q.b) for q in topology.qkd_links)
    assert min(nx.node_connectivity(links, "cell1", core) for core in ("core1", "core2")) >= 2


def test_names_fit_the_kernel_and_are_unique(topology: Topology) -> None:
    names = [p.interface for site in topology.site_names for p in topology.ports(site)]
    names += [topology.bridge(site) for site in topology.site_names]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= INTERFACE_NAME_LIMIT


def test_addresses_are_unique(topology: Topology) -> None:
    hosts = [topology.host(site) for site in topology.site_names]
    for attribute in ("data_address", "data_mac", "management_address", "kme_address"):
        assert len({getattr(host, attribute) for host in hosts}) == len(hosts)


def test_every_channel_has_a_port_at_both_ends(topology: Topology) -> None:
    for channel in topology.channels:
        for end in channel.ends:
            assert topology.port_of(end, channel.id).channel == channel.id
            assert channel.other(channel.other(end)) == end
    with pytest.raises(KeyError):
        topology.port_of("core1", "cell1-agg1-ch1")


def test_a_topology_survives_json(topology: Topology) -> None:
    assert topology_from_dict(topology.to_dict()) == topology


def test_delay_is_fibre_and_card() -> None:
    channel = load("ukqntel").channel("metro1-core1-ch4")
    assert channel.delay_us == pytest.approx(121 * 4.9 + 15)


def test_scale_and_shaping() -> None:
    assert load("ukqntel", mbps_per_gbps=10).channels[0].capacity_mbps == 1000
    assert not load("ukqntel", shaped=False).shaped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"channels": (replace(t.channels[0], a="nowhere"), *t.channels[1:])}, "no site 'nowhere'"),
        (lambda t: {"channels": (*t.channels, t.channels[0])}, "named twice"),
        (lambda t: {"channels": (replace(t.channels[0], wavelength="ch9"),)}, "no wavelength 'ch9'"),
        (lambda t: {"channels": (replace(t.channels[0], security=SecurityClass.QKD),)}, "not that of its wavelength"),
        (lambda t: {"channels": (replace(t.channels[0], risk_groups=frozenset()),)}, "among its risk_groups"),
        (lambda t: {"wavelengths": tuple(replace(w, client_ports=3) for w in t.wavelengths)}, "3 client ports"),
        (
            lambda t: {"wavelengths": (*t.wavelengths[:4], replace(t.wavelengths[4], ends=("core1", "x")))},
            "no site 'x'",
        ),
        (lambda t: {"sections": t.sections[:2]}, "no section 's3'"),
        (lambda t: {"qkd_links": (replace(t.qkd_links[0], sections=("s1", "s3")),)}, "do not meet"),
        (lambda t: {"sites": ()}, "no sites"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: object, message: str) -> None:
    topology = load("ukqntel")
    with pytest.raises(TopologyError, match=message):
        replace(topology, **change(topology))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("element", "field", "value"),
    [
        ("channels", "capacity_mbps", 0), ("channels", "capacity_mbps", float("nan")), ("channels", "length_km", -1),
        ("channels", "capacity_mbps", 10**400),
        ("sections", "length_km", -1), ("sections", "detector_efficiency", 1.1), ("sections", "pulse_rate_hz", 0),
        ("sections", "dark_count_probability", 0.7), ("sections", "misalignment", -0.1),
        ("sections", "afterpulse_probability", 1), ("sections", "dead_time_us", -1), ("sections", "abort_qber", 0.12),
        ("sections", "error_correction_efficiency", 0.9), ("sections", "protocol", "cow"),
        ("sections", "model", "half"),
        ("wavelengths", "client_ports", 0), ("wavelengths", "client_ports", 11), ("wavelengths", "client_gbps", -1),
        ("wavelengths", "ends", ("cell1", "cell1")), ("wavelengths", "encryptor", True), ("sections", "restart_s", -1),
        ("sites", "vcpus", -1), ("sites", "name", "Cell_1"),
        ("sites", "name", "much" * 6 + "l"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(element: str, field: str, value: object) -> None:
    part = getattr(load("ukqntel"), element)[0]
    with pytest.raises(TopologyError):
        replace(part, **{field: value})


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(TopologyError, match="metro-ring, uk-east, ukqntel, ukqntel-242km, ukqntel-cow"):
        load("atlantis")
    for scale in (0, -1, 1e-9, math.inf, math.nan):
        with pytest.raises(TopologyError, match="scale"):
            load("ukqntel", mbps_per_gbps=scale)
    with pytest.raises(ValueError, match="none, dh, qra, qkd"):
        SecurityClass.parse("rot13")


def test_a_document_with_a_missing_or_unknown_field_is_refused() -> None:
    raw = load("ukqntel").to_dict()
    with pytest.raises(TopologyError):
        topology_from_dict({k: v for k, v in raw.items() if k != "sites"})
    raw["channels"][0]["colour"] = "red"
    with pytest.raises(TopologyError, match="colour"):
        topology_from_dict(raw)


def test_more_sites_than_there_are_addresses_can_be_planned_but_not_emulated() -> None:
    sites = tuple(Site(f"s{n}", Tier.METRO) for n in range(300))
    topology = Topology("large", sites, (), ())
    assert topology.host("s253").kme_address == "10.254.254.1"
    with pytest.raises(TopologyError, match="254"):
        topology.host("s254")
    with pytest.raises(TopologyError, match=r"has 300 sites, and at most 254 .* cannot be raised"):
        topology.require_room()
    replace(topology, sites=sites[:254]).require_room()


def _changed(kind: str, **fields: object) -> dict[str, Any]:
    """ukqntel with the first element of a kind changed."""
    raw = load("ukqntel").to_dict()
    raw[kind][0].update(fields)
    return raw


BAD_NUMBERS = [math.inf, -math.inf, math.nan, "5", None, True]
NUMBERS = [
    *(("sites", "site cell1", name) for name in ("vcpus", "memory_gb", "x", "y")),
    *(("wavelengths", "wavelength ch1", name) for name in ("capacity_gbps", "client_ports")),
    *(("channels", "channel cell1-agg1-ch1", name) for name in ("capacity_mbps", "length_km")),
    *(("sections", "section s1", name) for name in ("length_km", "pulse_rate_hz", "misalignment", "abort_qber")),
]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize(("kind", "element", "name"), NUMBERS)
def test_fault_32_what_is_no_finite_number_is_refused_by_name(
    kind: str, element: str, name: str, value: object
) -> None:
    with pytest.raises(TopologyError, match=f"^{element}: {name} must be a (finite|whole) number"):
        topology_from_dict(_changed(kind, **{name: value}))


@pytest.mark.parametrize("tier", ["Metro", "edge", "", 5, None])
def test_fault_32_an_unknown_tier_is_refused_by_the_sites_name(tier: object) -> None:
    with pytest.raises(TopologyError, match=r"^site cell1: unknown tier .*cell, aggregation, metro, core"):
        topology_from_dict(_changed("sites", tier=tier))


@pytest.mark.parametrize(("kind", "element"), [("wavelengths", "wavelength ch1"), ("channels", "channel cell1-agg1")])
def test_fault_32_an_unknown_class_is_refused_by_name(kind: str, element: str) -> None:
    with pytest.raises(TopologyError, match=f"^{element}.*: unknown security class 'magic'"):
        topology_from_dict(_changed(kind, security="magic"))


@pytest.mark.parametrize("name", ["kms", "mgmt", "c0", "auto"])
def test_fault_32_a_site_of_one_of_our_names_is_refused(name: str) -> None:
    """Its bridge or host would be taken for the key management's, the machine's, the controller's."""
    with pytest.raises(TopologyError, match=f"^site {name}: .* has that name"):
        Site(name, Tier.CELL)


@pytest.mark.parametrize("name", ["", "Cell1", "1cell", "cell-1", "a" * 25, "cell1\n", "é", 5, None])
def test_fault_32_a_name_that_is_no_interfaces_is_refused(name: Any) -> None:
    with pytest.raises(TopologyError, match=r"^site "):
        Site(name, Tier.CELL)


def test_fault_32_interface_names_fit_whatever_the_number_of_channels() -> None:
    """A site with a long name and a hundred channels: the kernel would refuse, or cut, the name of its last port."""
    topology = load("ukqntel")
    channel = replace(topology.channels[0], a="ninechars", b="hub")
    wavelength = replace(topology.wavelengths[0], client_ports=1000, client_gbps=0.1)

    def star(count: int) -> Topology:
        sites = (Site("ninechars", Tier.METRO), Site("hub", Tier.METRO))
        return Topology("star", sites, (wavelength,), tuple(replace(channel, id=f"c{n}") for n in range(count)))

    for count in (98, 99, 400):
        made = star(count)
        names = [port.interface for site in made.site_names for port in made.ports(site)]
        names += [made.bridge(site) for site in made.site_names]
        assert len(set(names)) == len(names)
        assert all(len(name) <= INTERFACE_NAME_LIMIT for name in names)
    assert star(98).ports("ninechars")[-1].interface == "qs-ninechars-99"
    assert star(99).ports("ninechars")[-1].interface == "qs-1-100"
    assert star(99).ports("hub")[-1].interface == "qs-hub-100"
