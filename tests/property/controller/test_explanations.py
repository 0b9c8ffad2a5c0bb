"""Every suggested relaxation is feasible and none smaller of its kind is: judged by trying everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.request import (
    AnyShape,
    ConnectionRequest,
    ConnectionSpec,
    Match,
    NamedConnection,
    Protection,
    SecurityRequirement,
    SliceRequest,
    ThreeRoles,
)
from controller.pce.computation import Infeasible, Relaxation, SlicePlan, UnknownKeyRates, find_route, plan_slice
from controller.pce.network import PLENTY_OF_KEY_MILLIBPS, Network
from scripts.bench.pce import brute_force
from scripts.bench.pce.instances import (
    SmallLimits,
    small_connection,
    small_listed,
    small_network,
    small_slice,
)
from tests.support.disjoint_pairs import find_disjoint_pair
from topologies.spec import Allocation, SecurityClass

seeds = st.integers(0, 2**32)
SLICE_LIMITS = SmallLimits(sites=4, channels=6, cells=1)


def with_field(spec: ConnectionSpec, field: str, value: Any) -> ConnectionSpec:
    """What an operator does who takes the suggestion."""
    match field:
        case "bandwidth_mbps":
            return replace(spec, bandwidth_kbps=round(value * 1000))
        case "reverse_bandwidth_mbps":
            return replace(spec, reverse_bandwidth_kbps=round(value * 1000))
        case "latency_ms":
            return replace(spec, latency_us=round(value * 1000))
        case "security":
            return replace(spec, security=SecurityRequirement((SecurityClass.parse(value),), spec.security.match))
        case "match":
            return replace(spec, security=replace(spec.security, match=Match(value)))
        case "protection":
            return replace(spec, protection=Protection(value))
        case _:
            changed: dict[str, Any] = {field: frozenset(value) if field.startswith("exclude") else value}
            return replace(spec, **changed)


def one_less(spec: ConnectionSpec, field: str, value: Any) -> ConnectionSpec | None:
    """The relaxation that is smaller by the least there is; None where that is the request as it was."""
    match field:
        case "bandwidth_mbps" | "reverse_bandwidth_mbps":
            return with_field(spec, field, value + 0.001)
        case "latency_ms":
            return with_field(spec, field, value - 0.001)
        case "rekey_s":
            return with_field(spec, field, max(spec.rekey_s, value - 0.001))
        case "max_hops":
            return with_field(spec, field, value - 1)
        case "security":
            above = SecurityClass(SecurityClass.parse(value) + 1)
            return None if above >= spec.security.level else with_field(spec, field, above.label)
        case _:
            return None


def check_connection(fits: Callable[[ConnectionSpec], bool], spec: ConnectionSpec, relaxation: Relaxation) -> None:
    parts = (relaxation, *relaxation.also)
    fields = [part.field.removeprefix("connections.access.") for part in parts]
    assert len(set(fields)) == len(fields)
    relaxed = spec
    for field, part in zip(fields, parts, strict=True):
        relaxed = with_field(relaxed, field, part.value)
    assert fits(relaxed)
    for left_out in range(len(parts)):
        others = spec
        for position, (field, part) in enumerate(zip(fields, parts, strict=True)):
            if position != left_out:
                others = with_field(others, field, part.value)
        assert not fits(others)
        smaller = one_less(others, fields[left_out], parts[left_out].value)
        assert smaller is None or not fits(smaller)


@given(seeds, seeds)
@settings(max_examples=250, deadline=None)
def test_one_route(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed)
    check_route(network, small_connection(request_seed, network))


@given(seeds, seeds)
@settings(max_examples=250, deadline=None)
def test_one_route_with_another_bandwidth_there_than_back(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed, is_one_sided=True)
    check_route(network, small_connection(request_seed, network, is_directed=True))


@given(seeds, seeds, st.sampled_from(Allocation))
@settings(max_examples=200, deadline=None)
def test_one_route_over_wavelengths_with_several_circuits(
    network_seed: int, request_seed: int, allocation: Allocation
) -> None:
    network = small_network(network_seed, pooled=allocation)
    check_route(network, small_connection(request_seed, network, is_eased=True))


def check_route(network: Network, request: ConnectionRequest) -> None:
    found = find_route(network, request)
    if not isinstance(found, Infeasible):
        return
    assert found.reasons
    assert all(reason.connection == request.id for reason in found.reasons)
    assert found.nearest or {reason.constraint for reason in found.reasons} & {
        "connectivity", "bandwidth", "reverse_bandwidth", "client_ports", "wavelength",
    }  # fmt: skip
    for relaxation in found.nearest:
        check_connection(
            lambda spec: brute_force.best_route(network, replace(request, spec=spec)) is not None,
            request.spec,
            relaxation,
        )


@given(seeds, seeds)
@settings(max_examples=150, deadline=None)
def test_pair(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed)
    request = small_connection(request_seed, network, Protection.ONE_TO_ONE)
    found = find_disjoint_pair(network, request)
    if not isinstance(found, Infeasible):
        return

    def fits(spec: ConnectionSpec) -> bool:
        search = brute_force.best_pair if spec.protection.has_backup else brute_force.best_route
        return search(network, replace(request, spec=spec)) is not None

    assert found.reasons
    for relaxation in found.nearest:
        check_connection(fits, request.spec, relaxation)


def relaxed_slice(request: SliceRequest, relaxation: Relaxation) -> SliceRequest:
    for part in (relaxation, *relaxation.also):
        where, *rest = part.field.split(".")
        shape = request.shape
        if isinstance(shape, AnyShape) and rest[1] == "compute":
            end = {"from": "src_compute", "to": "dst_compute"}[rest[2]]
            listed = [_with_need(c, end, rest[3], part.value) if c.name == rest[0] else c for c in shape.listed]
            request = replace(request, shape=AnyShape(tuple(listed)))
        elif isinstance(shape, ThreeRoles) and where == "compute":
            changed: dict[str, Any] = {rest[0]: part.value}
            request = replace(request, shape=replace(shape, compute=replace(shape.compute, **changed)))
        else:
            request = request.with_spec(rest[0], with_field(request.specs[rest[0]], rest[1], part.value))
    return request


def _with_need(connection: NamedConnection, end: str, field: str, value: Any) -> NamedConnection:
    return replace(connection, **{end: replace(getattr(connection, end), **{field: value})})


@given(seeds, seeds)
@settings(max_examples=60, deadline=None)
def test_slice(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed, SLICE_LIMITS)
    check_slice(network, small_slice(request_seed, network, SLICE_LIMITS))


@given(seeds, seeds)
@settings(max_examples=60, deadline=None)
def test_slice_of_any_shape(network_seed: int, request_seed: int) -> None:
    network = small_network(network_seed, SLICE_LIMITS, is_one_sided=True)
    check_slice(network, small_listed(request_seed, network))


def check_slice(network: Network, request: SliceRequest) -> None:
    found = plan_slice(network, request)
    if not isinstance(found, Infeasible):
        return
    assert found.reasons
    for relaxation in found.nearest:
        assert brute_force.best_slice(network, relaxed_slice(request, relaxation)) is not None
        where, *rest = relaxation.field.split(".")
        if not relaxation.also and where == "connections":
            spec = one_less(request.specs[rest[0]], rest[1], relaxation.value)
            if spec is not None:
                assert brute_force.best_slice(network, request.with_spec(rest[0], spec)) is None
        for left_out in relaxation.also:
            others = replace(relaxation, also=tuple(part for part in relaxation.also if part is not left_out))
            assert brute_force.best_slice(network, relaxed_slice(request, others)) is None


@given(seeds, seeds, seeds)
@settings(max_examples=100, deadline=None)
def test_rates_that_are_not_known_are_no_reason_and_no_promise(
    network_seed: int, request_seed: int, unknown_seed: int
) -> None:
    """Of all that a section may turn out to give, the answer is right: nothing and plenty are the ends of it."""
    rng = random.Random(unknown_seed)
    told = small_network(network_seed, SLICE_LIMITS)
    request = small_slice(request_seed, told, SLICE_LIMITS)
    unknown = [s for s in told.index.section_ids if rng.random() < 0.5]
    dry, rich = told.copy(), told.copy()
    for section in unknown:
        dry.set_section(section, 0, usable=False)
        rich.set_section(section, PLENTY_OF_KEY_MILLIBPS, usable=True)
    asked = dry.copy()
    asked.set_unknown_sections(unknown)
    found = plan_slice(asked, request)
    if isinstance(found, SlicePlan):
        assert found == plan_slice(dry, request)
    elif isinstance(found, UnknownKeyRates):
        assert brute_force.best_slice(dry, request) is None
        assert found.plan == plan_slice(rich, request)
        assert found.sections
        assert set(found.sections) == set(unknown) & found.plan.key_sections
    else:
        assert found == plan_slice(rich, request)
        assert brute_force.best_slice(rich, request) is None
