"""Any topology survives being written and read; any text is a topology or refused with a place."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from topologies.files import DocumentError, Problem, parse_document, parse_text, to_document, to_json, to_yaml
from topologies.spec import (
    RESERVED_NAMES,
    SITE_NAME,
    Allocation,
    Channel,
    QkdLink,
    QkdSection,
    SecurityClass,
    Site,
    Tier,
    Topology,
    Wavelength,
)

names = st.from_regex(SITE_NAME, fullmatch=True).filter(lambda name: name not in RESERVED_NAMES)
ids = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(lambda i: i[0].isalnum())
unit, probability = st.floats(0, 1), st.floats(0, 0.5)
counts = st.integers(0, 100)
models = st.sampled_from(("full", "rate"))
km = st.floats(0, 1000)
texts = st.text(st.characters(codec="utf-8"), max_size=30)


@st.composite
def wavelengths_called(draw: Any, name: str, ends: Any) -> Wavelength:
    security, gbps, ports = draw(st.sampled_from(SecurityClass)), draw(st.floats(0.001, 1000)), draw(st.integers(4, 20))
    client_gbps = draw(st.none() | st.floats(0.0001, 1).map(lambda share: share * gbps / ports))
    encryptor = draw(st.none() | st.just(False) | st.just(security is not SecurityClass.NONE))
    return Wavelength(
        name, security, gbps, ports, client_gbps, encryptor, draw(st.none() | ends.map(lambda e: (e[0], e[1])))
    )


@st.composite
def topologies(draw: Any) -> Topology:
    sites = [
        Site(
            name,
            draw(st.sampled_from(Tier)),
            draw(counts),
            draw(counts),
            draw(unit),
            draw(unit),
            draw(texts),
            optical_switch=draw(st.booleans()),
        )
        for name in draw(st.lists(names, min_size=2, max_size=5, unique=True))
    ]
    ends = st.permutations([s.name for s in sites])
    wavelengths = [draw(wavelengths_called(i, ends)) for i in draw(st.lists(ids, min_size=1, max_size=3, unique=True))]
    channels = []
    for channel_id in draw(st.lists(ids, max_size=4, unique=True)):
        a, b, *_ = draw(ends)
        w = draw(st.sampled_from(wavelengths))
        risks = frozenset({w.id, *draw(st.lists(ids, max_size=2))})
        capacity = w.capacity_gbps * draw(st.floats(0.001, 1))
        channels.append(Channel(channel_id, a, b, w.id, w.security, capacity, draw(km), risks, draw(st.booleans())))
    sections = [
        QkdSection(
            i, f"n{n}", f"n{n + 1}", draw(km), misalignment=draw(probability), model=draw(models), restart_s=draw(km)
        )
        for n, i in enumerate(draw(st.lists(ids, max_size=3, unique=True)))
    ]
    links = []
    for link_id in draw(st.lists(ids, max_size=2, unique=True)) if sections else ():
        a, b, *_ = draw(ends)
        links.append(QkdLink(link_id, a, b, tuple(s.id for s in sections)))
    parts = (tuple(sites), tuple(wavelengths), tuple(channels), tuple(sections), tuple(links))
    return Topology(draw(ids), *parts, draw(texts), draw(st.booleans()), draw(st.sampled_from(Allocation)))


@given(topologies())
def test_what_is_written_is_read_again(topology: Topology) -> None:
    document = to_document(topology)
    assert parse_document(document, "x") == topology
    assert parse_text(to_yaml(document), "x") == topology
    assert parse_text(to_json(document), "x") == topology
    assert yaml.safe_load(to_yaml(document)) == document  # YAML 1.1 too
    assert to_document(parse_text(to_yaml(document), "x")) == document


@given(topologies())
def test_interfaces_fit_the_kernel_and_are_unique(topology: Topology) -> None:
    made = [port.interface for site in topology.site_names for port in topology.ports(site)]
    made += [topology.bridge(site) for site in topology.site_names]
    assert len(set(made)) == len(made)
    assert max(map(len, made)) <= 15
    assert {"qs-kms", "qs-mgmt"}.isdisjoint(made)


WORDS = """\
name: x
sites:
  - {name: a, tier: cell}
  - {name: b, tier: core}
fibres:
  - {a: a, b: b, km: 1, channels: [qkd]}
"""


@given(st.integers(0, len(WORDS)), st.integers(0, 12), st.text("ab:-&*<![]{}#\n 01.~\"'|>?,é", max_size=8))
def test_a_damaged_document_is_a_topology_or_refused_with_a_line(at: int, drop: int, put: str) -> None:
    text = WORDS[:at] + put + WORDS[at + drop :]
    found = _topology_or_problems(parse_text, text)
    if not isinstance(found, Topology):
        assert all(p.line is not None and 1 <= p.line <= text.count("\n") + 2 for p in found)


keys = st.sampled_from(["name", "a", "b", "km", "channels", "qkd", "tier", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
documents = st.dictionaries(
    st.sampled_from(["name", "sites", "fibres", "channels", "wavelengths", "sections", "qkd_links", "shaped"]), values
)


@given(documents)
def test_any_plain_values_are_a_topology_or_refused(document: dict[str, Any]) -> None:
    assert _topology_or_problems(parse_document, document)


def _topology_or_problems(parse: Callable[[Any, str], Topology], given: Any) -> Topology | tuple[Problem, ...]:
    try:
        return parse(given, "x")
    except DocumentError as error:
        return error.problems
