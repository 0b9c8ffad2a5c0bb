"""The level and the source that a connection says are those of the keys that both agents have in use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.model.connection import UNCONFIRMED_KEYS
from controller.model.errors import DriverError
from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState
from controller.northbound.views.slices import slice_view
from tests.support.controller_bench import Bench
from tests.unit.controller.policy.test_spares import make, pass_time
from topologies.catalog import ukqntel
from topologies.spec import SecurityClass

FIBRE = [f"agg1-metro1-ch{n}" for n in (3, 4, 5)]  # what serves qra and above on ukqntel
LOWER = "agg1-metro1-ch2"  # and what serves dh

Refusal = tuple[str, frozenset[str]]
REFUSALS: dict[str, Refusal] = {
    f"{op} at {' and '.join(sorted(sites))}": (op, frozenset(sites))
    for op in ("modify", "wait_up", "list")
    for sites in ({"cell1"}, {"core1"}, {"cell1", "core1"})
}


def change(bench: Bench, up: tuple[str, ...] = (), down: tuple[str, ...] = ()) -> None:
    bench.maintenance.channels_changed({**dict.fromkeys(up, True), **dict.fromkeys(down, False)})


def to_the_fallback(bench: Bench) -> None:
    change(bench, down=tuple(FIBRE))


def without_a_way_and_back_at_once(bench: Bench) -> None:
    """On the fallback, then without any way, then restored at the level asked for: FAILURE."""
    change(bench, down=(*FIBRE, LOWER))
    change(bench, up=(FIBRE[0],))


def cut_on_the_fallback_and_restored(bench: Bench) -> None:
    """The way of the fallback is cut when better ones are back: nobody has acted on them yet."""
    bench.model.observe_channels(dict.fromkeys(FIBRE, True), silent=())
    change(bench, down=(LOWER,))


def back_from_the_fallback(bench: Bench) -> None:
    change(bench, up=tuple(FIBRE))


def back_from_the_fallback_after_a_restart(bench: Bench) -> None:
    bench.maintenance.restore_tunnels()
    change(bench, up=tuple(FIBRE))


# What happens before the agents begin to refuse, and then.
CAUSES: dict[str, tuple[Callable[[Bench], None], Callable[[Bench], None]]] = {
    "fallback": (lambda bench: None, to_the_fallback),
    "fallback-undone": (to_the_fallback, back_from_the_fallback),
    "fallback-undone, agents compared": (to_the_fallback, back_from_the_fallback_after_a_restart),
    "failure after no way": (to_the_fallback, without_a_way_and_back_at_once),
    "failure on the fallback": (to_the_fallback, cut_on_the_fallback_and_restored),
}


def in_use(bench: Bench, connection_id: str) -> set[str | None]:
    return {bench.tunnels.keys_in_use(site, i) for site, i in bench.tunnels.told if i == connection_id}


def assert_says_what_is_in_use(bench: Bench, connection_id: str) -> None:
    connection = bench.model.connections[connection_id]
    keys = in_use(bench, connection_id)
    (view,) = (c for c in slice_view(bench.model, bench.model.slice("s"))["connections"] if c["id"] == connection_id)
    if connection.state is ConnectionState.ACTIVE:
        assert keys == {connection.key_source} == {view["key_source"]}
        assert view["level"] == connection.key_source
    if connection.reroutes and connection.lanes:
        assert connection.reroutes[-1].key_source in (*keys, UNCONFIRMED_KEYS)


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("cause", CAUSES)
def test_fault_07_whatever_moves_it_and_whoever_refuses_it_says_what_the_agents_use(
    cause: str, refusal: str, tmp_path: Path
) -> None:
    bench = Bench(ukqntel(), tmp_path / "db")
    connection_id = make(bench, fallback=["dh"])
    prepare, happen = CAUSES[cause]
    prepare(bench)
    assert_says_what_is_in_use(bench, connection_id)
    op, sites = REFUSALS[refusal]
    bench.tunnels.fail = lambda o, site, i: (
        DriverError("refused") if o == op and site in sites and i in ("", connection_id) else None
    )
    happen(bench)
    for _ in range(3):
        assert_says_what_is_in_use(bench, connection_id)
        pass_time(bench, 6.0)
    assert_says_what_is_in_use(bench, connection_id)
    bench.tunnels.fail = lambda o, site, i: None
    change(bench, up=(*FIBRE, LOWER))
    pass_time(bench, 6.0)
    pass_time(bench, 6.0)
    connection = bench.model.connections[connection_id]
    assert (connection.state, connection.fallback) == (ConnectionState.ACTIVE, None)
    assert in_use(bench, connection_id) == {"qra"}
    assert_says_what_is_in_use(bench, connection_id)
    assert connection.reroutes[-1].key_source == "qra"


def test_fault_07_agents_that_use_other_keys_than_they_were_told_deny_the_level(tmp_path: Path) -> None:
    """As after a restart of the controller in the middle of a move: nobody waits for the keys any more."""
    bench = Bench(ukqntel(), tmp_path / "db")
    mine = make(bench)

    def look() -> None:
        for site in bench.topology.site_names:
            bench.maintenance.poll_agent(site)
        for _ in range(2):
            bench.maintenance.confirm(lambda site: True)
            bench.now += 1.0
        bench.maintenance.confirm(lambda site: True)

    look()
    assert bench.model.connections[mine].state is ConnectionState.ACTIVE
    honest = bench.tunnels.keys_in_use

    def keys_in_use(site: str, connection_id: str) -> str | None:
        return "dh" if connection_id == mine else honest(site, connection_id)

    bench.tunnels.keys_in_use = keys_in_use  # type: ignore[method-assign]
    look()
    connection = bench.model.connections[mine]
    assert connection.state is ConnectionState.DEGRADED
    assert connection.reason is not None
    assert connection.reason.code is ReasonCode.OTHER_KEYS
    assert "uses keys of dh, not of qra" in connection.reason.detail
    (view,) = (c for c in slice_view(bench.model, bench.model.slice("s"))["connections"] if c["id"] == mine)
    assert (view["level"], view["key_source"], view["required"]) == (SecurityClass.DH.label, "dh", "qra")
    bench.tunnels.keys_in_use = honest  # type: ignore[method-assign]
    look()
    assert bench.model.connections[mine].state is ConnectionState.ACTIVE
