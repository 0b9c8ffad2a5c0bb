"""Padding of a connection: asked for, refused, told to both ends with a rate that its bandwidth bears."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.tunnel_profile import MAX_PPS, MIN_PPS, PADDINGS, bandwidths_mbps, slots_per_s
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from kms.tunnel.packet.traffic_padding import Padding
from tests.support.controller_bench import raw_request


def asked(**access: Any) -> dict[str, Any]:
    raw = raw_request("enterprise-app")
    raw["connections"]["access"] |= access
    return raw


def test_the_tunnels_have_the_same_kinds() -> None:
    assert list(PADDINGS) == [kind.value for kind in Padding]


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_is_kept_with_the_request(padding: str) -> None:
    request = parse_slice_request(asked(padding=padding))
    assert request.specs["access"].padding == padding
    assert request.specs["control"].padding == "none"
    assert parse_slice_request(slice_request_to_dict(request)) == request


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ({"padding": "some"}, "Input should be"),
        ({"padding": "mtu", "security": "none"}, "security none has no tunnel"),
        ({"padding": "constant-rate", "bandwidth_mbps": 0.01}, "takes a bandwidth of 0.0128 to 256 Mbit/s"),
        ({"padding": "constant-rate", "bandwidth_mbps": 300}, "a constant rate takes a bandwidth of"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_fields_name(access: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(asked(**access))
    ((path, what),) = caught.value.problems
    assert path == "connections.access.padding"
    assert message in what


@given(st.floats(*bandwidths_mbps(), exclude_max=True))
def test_a_constant_rate_fits_into_its_bandwidth(bandwidth_mbps: float) -> None:
    kbps = round(bandwidth_mbps * 1000 + 0.5)
    slots = slots_per_s(kbps)
    assert MIN_PPS <= slots <= MAX_PPS
    assert slots * 1518 * 8 <= kbps * 1000
