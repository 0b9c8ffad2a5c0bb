"""The suite of a connection: asked for, refused, told to both ends, shown."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model.tunnel_profile import SUITES, has_two_keys, hides
from controller.schema.slice_request import InvalidRequest, parse_slice_request, slice_request_to_dict
from controller.schema.terms import Terms
from kms.tunnel.packet import cipher_suites as of_tunnel
from tests.support.controller_bench import raw_request
from topologies.catalog import ukqntel

SPLIT = "aes-256-ctr-hmac-sha-256"


def asked(**access: Any) -> dict[str, Any]:
    raw = raw_request("enterprise-app")
    raw["connections"]["access"] |= access
    return raw


def test_the_tunnels_have_the_same_suites() -> None:
    assert list(SUITES) == list(of_tunnel.SUITES)
    for name, suite in of_tunnel.SUITES.items():
        assert (hides(name), has_two_keys(name)) == (suite.hides, suite.is_split)


@pytest.mark.parametrize("suite", [s for s in SUITES if hides(s)])
def test_a_suite_is_kept_with_the_request(suite: str) -> None:
    request = parse_slice_request(asked(suite=suite))
    assert request.specs["access"].suite == suite
    assert request.specs["control"].suite == "aes-256-gcm"
    assert parse_slice_request(slice_request_to_dict(request)) == request


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ({"suite": "rot13"}, "Input should be"),
        ({"suite": "null-aes-256-gmac", "security": "qkd"}, "hides nothing, which security above dh demands"),
        ({"suite": "null-aes-256-gmac-esn", "security": ["dh", "qkd"]}, "hides nothing"),
        ({"suite": SPLIT, "security": "none"}, "security none has no tunnel"),
    ],
)
def test_what_the_level_does_not_allow_is_refused_by_the_fields_name(access: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_slice_request(asked(**access))
    ((path, what),) = caught.value.problems
    assert path == "connections.access.suite"
    assert message in what


def test_authentication_alone_is_for_dh() -> None:
    request = parse_slice_request(asked(suite="null-aes-256-gmac", security="dh", protection="1+1"))
    assert request.specs["access"].suite == "null-aes-256-gmac"


def test_policy_forbids_a_suite_and_says_so() -> None:
    terms = Terms(ukqntel(), frozenset({SPLIT}))
    terms.accept(parse_slice_request(asked()))
    with pytest.raises(InvalidRequest) as caught:
        terms.accept(parse_slice_request(asked(suite=SPLIT)))
    assert caught.value.problems == (("connections.access.suite", f"{SPLIT} is forbidden here (forbidden_suites)"),)


def test_a_suite_of_an_extension_is_had_where_it_is_in_force() -> None:
    request = parse_slice_request(asked(suite="x-mine"))
    assert parse_slice_request(slice_request_to_dict(request)) == request
    assert (hides("x-mine"), has_two_keys("x-my-ctr-hmac-1")) == (True, False)
    Terms(ukqntel(), extension_suites=frozenset({"x-mine"})).accept(request)
    for there in (frozenset[str](), frozenset({"x-yours"})):
        with pytest.raises(InvalidRequest) as caught:
            Terms(ukqntel(), extension_suites=there).accept(request)
        ((path, what),) = caught.value.problems
        assert path == "connections.access.suite"
        assert "no extension x-mine is in force" in what


@pytest.mark.parametrize("suite", ["x-", "x-Mine", "x-mine\n", "x_mine", "x-" + 39 * "a", 1, None])
def test_what_is_no_name_of_an_extension_is_refused(suite: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_slice_request(asked(suite=suite))


@pytest.mark.parametrize(("security", "keys"), [("qkd", 2), (["dh", "qkd"], 1), ("qra", 0)])
def test_two_keys_of_one_source_cost_twice_the_key_rate(security: Any, keys: int) -> None:
    spec = parse_slice_request(asked(suite=SPLIT, security=security)).specs["access"]
    assert spec.key_rate_millibps == round(keys * 256_000 / spec.rekey_s)
