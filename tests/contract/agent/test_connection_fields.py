"""A connection's fields, between the controller that tells them and the agent that parses them, and as documented."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, asdict, fields, replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.forwarding.tunnel_endpoint import MODIFIABLE, TunnelEndpoint, as_wire
from controller.model.tunnel_profile import PADDINGS, SUITES
from kms.tunnel.agent import agent
from kms.tunnel.config import AddRequest, ConnectionConfig, ModifyRequest, parse_request
from kms.tunnel.errors import ConfigurationError
from scripts.testbed.paths import REPOSITORY

LEAST = TunnelEndpoint(
    id="s/c", role="initiator", mode="esp", interface="q0", port=20000, peer_underlay="172.20.0.2",
    local_address="10.200.0.0", peer_address="10.200.0.1", peer_sae="sae-b", key_source="dh",
)  # fmt: skip
OTHERS: dict[str, Any] = {
    "id": "s/d", "role": "responder", "mode": "clear", "interface": "q1", "port": 20001, "peer_underlay": "172.20.0.3",
    "local_address": "10.200.0.2", "peer_address": "10.200.0.3", "local_address6": "fd51:5c1c::1:0",
    "peer_address6": "fd51:5c1c::1:1", "peer_sae": "sae-c", "key_source": "qra", "suite": "chacha20-poly1305",
    "rekey_s": 2.5, "lifetime_s": 30.0, "replay_window": 2048, "padding": "mtu", "padding_pps": 500.0,
    "expects_copies": True, "repairs": True, "rate_kbps": 10_000, "probe_s": 0.25,
}  # fmt: skip
"""For each field another value than LEAST has."""
TOGETHER = {"local_address6": "peer_address6", "peer_address6": "local_address6"}  # both or none

NAMES = {field.name for field in fields(TunnelEndpoint)}
EACH = pytest.mark.parametrize("name", sorted(NAMES))


def parsed(endpoint: TunnelEndpoint, op: str = "add", **more: Any) -> ConnectionConfig:
    """What the agent makes of the line that the controller sends."""
    line = json.dumps({"id": 1, "op": op, "connection": as_wire(endpoint) | more})
    request = parse_request(json.loads(line))
    assert isinstance(request, AddRequest | ModifyRequest)
    return request.connection


def listed(config: ConnectionConfig) -> dict[str, Any]:
    """As the agent's ``list`` shows a connection."""
    return {**config.model_dump(mode="json"), "state": "up"}


def with_other(name: str) -> TunnelEndpoint:
    names = [name, *([TOGETHER[name]] if name in TOGETHER else [])]
    return replace(LEAST, **{n: OTHERS[n] for n in names})


def test_both_sides_have_the_same_fields_and_defaults() -> None:
    assert set(ConnectionConfig.model_fields) == NAMES
    required = {field.name for field in fields(TunnelEndpoint) if field.default is MISSING}
    assert {name for name, field in ConnectionConfig.model_fields.items() if field.is_required()} == required
    least = ConnectionConfig.model_validate({name: as_wire(LEAST)[name] for name in required})
    assert least.model_dump(mode="json") == as_wire(LEAST)


@EACH
def test_every_field_arrives_as_it_was_sent(name: str) -> None:
    sent = with_other(name)
    assert as_wire(sent)[name] != as_wire(LEAST)[name]
    for op in ("add", "modify"):
        config = parsed(sent, op)
        assert config.model_dump(mode="json") == as_wire(sent)
        assert config != parsed(LEAST, op)


_ADDRESSES = st.tuples(st.integers(0, 2**15 - 1), st.booleans()).map(lambda n: (2 * n[0] + n[1], 2 * n[0] + 1 - n[1]))


@st.composite
def endpoints(draw: st.DrawFn) -> TunnelEndpoint:
    """Of everything that a slice's request and a topology can bring about."""
    local, peer = draw(_ADDRESSES)
    mode: Literal["esp", "clear"] = draw(st.sampled_from(["esp", "clear"]))
    has_ipv6 = mode == "esp" and draw(st.booleans())
    rekey_s = draw(st.floats(0.05, 86400.0))
    return TunnelEndpoint(
        id=draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)),
        role=draw(st.sampled_from(["initiator", "responder"])),
        mode=mode,
        interface=f"q{draw(st.integers(0, 32767))}",
        port=draw(st.integers(1, 65535)),
        peer_underlay=str(draw(st.ip_addresses(v=4))),
        local_address=f"10.200.{local >> 8}.{local & 255}",
        peer_address=f"10.200.{peer >> 8}.{peer & 255}",
        peer_sae=draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=30)),
        key_source=draw(st.sampled_from(["qra", "pqc", "dh", "none"])),
        local_address6=f"fd51:5c1c::1:{local:x}" if has_ipv6 else None,
        peer_address6=f"fd51:5c1c::1:{peer:x}" if has_ipv6 else None,
        suite=draw(st.sampled_from(SUITES)),
        rekey_s=rekey_s,
        lifetime_s=draw(st.floats(max(0.1, rekey_s), 86400.0)),
        replay_window=draw(st.sampled_from([1024, 2048, 4096, 8192])),
        padding=draw(st.sampled_from(PADDINGS)),
        padding_pps=draw(st.floats(1.0, 20_000.0)),
        expects_copies=draw(st.booleans()),
        repairs=draw(st.booleans()),
        rate_kbps=draw(st.none() | st.integers(1, 10**8)),
        probe_s=draw(st.none() | st.just(0.0) | st.floats(0.05, 60.0)),
    )


@given(endpoints())
def test_whatever_the_controller_sends_is_parsed_to_equal_values_and_listed_so(sent: TunnelEndpoint) -> None:
    config = parsed(sent)
    assert config.model_dump(mode="json") == asdict(sent)
    assert sent.differing(listed(config)) == frozenset()


@EACH
def test_every_difference_in_what_an_agent_lists_is_seen(name: str) -> None:
    pair = {name, TOGETHER.get(name, name)}
    assert LEAST.differing(listed(parsed(with_other(name)))) == pair
    assert with_other(name).differing(listed(parsed(LEAST))) == pair


@EACH
def test_agent_that_does_not_know_a_field_yet_does_what_the_default_says(name: str) -> None:
    older = {n: value for n, value in listed(parsed(LEAST)).items() if n != name}
    is_optional = not ConnectionConfig.model_fields[name].is_required()
    assert LEAST.differing(older) == (frozenset() if is_optional else {name})
    assert name in with_other(name).differing(older)


def test_field_that_only_the_agent_knows_does_not_count() -> None:
    assert LEAST.differing({**listed(parsed(LEAST)), "of_a_later_version": 1}) == frozenset()


@pytest.mark.parametrize("op", ["add", "modify"])
def test_unknown_field_is_refused_by_name(op: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parsed(LEAST, op, rekey_ms=3000)
    assert refused.value.field == "connection.rekey_ms"


def test_both_sides_agree_on_what_can_be_modified() -> None:
    assert set(agent.MODIFIABLE) == MODIFIABLE


def documented() -> dict[str, tuple[bool, Any]]:
    """By name whether it is marked *m* and its default (MISSING: required), by docs/explanation/tunnel.md."""
    text = (REPOSITORY / "docs/explanation/tunnel.md").read_text().split("### Fields of a connection")[1]
    lines = text.split("| --- | --- | --- |\n")[1].split("\n\n")[0].splitlines()
    found: dict[str, tuple[bool, Any]] = {}
    for line in lines:
        names, default, _ = (cell.strip() for cell in line.strip("|").split("|"))
        marked = re.findall(r"`(\w+)`( \*m\*)?", names)
        defaults = default.split(", ")
        for number, (name, mark) in enumerate(marked):
            found[name] = bool(mark), _value(defaults[number if len(defaults) > 1 else 0])
    return found


def _value(cell: str) -> Any:
    words = {"-": MISSING, "none": None, "the agent's": None, "false": False}
    if cell in words:
        return words[cell]
    return cell.strip("`") if cell.startswith("`") else float(cell)


def test_documented_fields_are_these() -> None:
    told = documented()
    assert set(told) == NAMES
    assert {name for name, (is_marked, _) in told.items() if is_marked} == MODIFIABLE
    for field in fields(TunnelEndpoint):
        assert told[field.name][1] == field.default, field.name
