"""Where cards alone seal, a request cannot ask for what only the tunnel of its hosts does."""

from __future__ import annotations

from typing import Any

import pytest

from controller.schema.slice_request import InvalidRequest
from controller.schema.terms import Terms
from tests.support.controller_bench import request_for
from topologies.catalog import ukqntel
from topologies.spec import EncryptionMode

CHANNEL = Terms(ukqntel(), encryption=EncryptionMode.CHANNEL)
BOTH = Terms(ukqntel(), encryption=EncryptionMode.BOTH)
OF_THE_TUNNEL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("protection", {"protection": "1+1"}),
    ("padding", {"padding": "mtu"}),
    ("suite", {"suite": "chacha20-poly1305"}),
    ("rekey_s", {"rekey_s": 10}),
    ("security", {"security": ["qkd", "qra"]}),
)


@pytest.mark.parametrize(("field", "asked"), OF_THE_TUNNEL)
def test_what_the_tunnel_does_is_refused_by_its_field_with_the_remedy(field: str, asked: dict[str, Any]) -> None:
    request = request_for("enterprise-app", {"backhaul": asked})
    with pytest.raises(InvalidRequest) as refused:
        CHANNEL.accept(request)
    ((path, what),) = refused.value.problems
    assert path == f"connections.backhaul.{field}"
    assert "--encryption both" in what
    assert BOTH.accept(request) == request
    assert Terms(ukqntel()).accept(request) == request


def test_what_is_unencrypted_anyway_may_say_how_often_it_would_be_renewed() -> None:
    """As in the other modes: nobody reads it."""
    request = request_for("cdn", {"access": {"rekey_s": 10, "security": "none"}})
    assert not CHANNEL.accept(request).specs["access"].is_sealed_by_hosts


def test_a_request_is_carried_out_by_what_seals() -> None:
    request = request_for("enterprise-app")
    by_cards, by_both = CHANNEL.accept(request), BOTH.accept(request)
    assert {spec.hosts_seal for spec in by_cards.specs.values()} == {False}
    assert {spec.key_rate_millibps for spec in by_cards.specs.values()} == {0}
    assert by_both == request
    assert {spec.security for spec in by_cards.specs.values()} == {spec.security for spec in request.specs.values()}
