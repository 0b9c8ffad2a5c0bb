"""Lower levels that a request lists are used when nothing else is left, never otherwise, and given up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.model.connection import Connection
from controller.model.errors import DriverError
from controller.model.states import ConnectionState
from controller.northbound.views.slices import connection_view
from controller.policy.reroute_audit import Asked, check
from tests.support.controller_bench import Bench
from tests.support.small_networks import fibres_apart
from tests.unit.controller.policy.test_spares import happened, make, mend, pass_time, split
from topologies.catalog import metro_ring
from topologies.spec import SecurityClass

FIBRE = [f"agg1-metro1-ch{n}" for n in (3, 4, 5)]  # what serves qra and above, without spares


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(fibres_apart(), tmp_path / "db")


def cut(bench: Bench, *channels: str) -> None:
    bench.maintenance.channels_changed(dict.fromkeys(channels, False))


def mend_all(bench: Bench, *channels: str) -> None:
    bench.maintenance.channels_changed(dict.fromkeys(channels, True))


def found(bench: Bench, connection_id: str) -> Connection:
    return bench.model.connections[connection_id]


def told(bench: Bench, connection_id: str) -> set[Any]:
    return {bench.tunnels.told[site, i].key_source for site, i in bench.tunnels.told if i == connection_id}


def test_the_first_listed_level_that_works_is_used_and_seen(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh", "none"])
    cut(bench, *FIBRE)
    connection = found(bench, connection_id)
    assert connection.state is ConnectionState.ACTIVE
    assert connection.fallback is SecurityClass.DH
    assert told(bench, connection_id) == {"dh"}
    assert "agg1-metro1-ch2" in (connection.route.channels if connection.route else ())
    view = connection_view(bench.topology, connection)
    assert (view["required"], view["level"], view["key_source"]) == ("qra", "dh", "dh")
    assert view["is_on_fallback"]
    assert view["fallback"] == ["dh", "none"]
    assert view["reason"] == "uses the fallback dh: there is no way at qra"
    (event,) = happened(bench, "fallback_used")
    assert (event.connection, event.required, event.level) == (connection_id, "qra", "dh")
    reroute = connection.reroutes[-1]
    assert (reroute.level, reroute.cause, reroute.key_source) == ("dh", "fallback", "dh")
    assert check(bench.topology, Asked.of(connection.request), reroute) == ()


def test_the_level_asked_for_returns_as_soon_as_it_can(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"])
    cut(bench, *FIBRE)
    mend_all(bench, FIBRE[1])
    connection = found(bench, connection_id)
    assert connection.fallback is None
    assert connection.reason is None
    assert connection.state is ConnectionState.ACTIVE
    assert connection.route is not None
    assert FIBRE[1] in connection.route.channels
    assert told(bench, connection_id) == {"qra"}
    assert connection.reroutes[-1].cause == "fallback-undone"
    assert connection.reroutes[-1].old_path == connection.reroutes[-2].new_path  # from way to way, never without one
    assert [e.level for e in happened(bench, "fallback_undone")] == ["qra"]
    bench.repair_all()


def test_a_level_that_is_not_listed_is_never_used(bench: Bench) -> None:
    connection_ids = [make(bench, "a"), make(bench, "b", fallback=["none"])]
    cut(bench, *FIBRE, "agg1-metro1-ch1")
    for connection_id in connection_ids:
        assert found(bench, connection_id).state is ConnectionState.ACTIVE or not found(bench, connection_id).lanes
    first, second = (found(bench, i) for i in connection_ids)
    assert first.state is ConnectionState.DEGRADED
    assert not first.lanes
    # At least as good as none is dh: the channel may be better than the level, the keys follow the level.
    assert second.fallback is SecurityClass.NONE
    assert told(bench, first.id) == {"qra"}
    assert {bench.tunnels.told[s, i].mode for s, i in bench.tunnels.told if i == second.id} == {"clear"}


def test_nothing_is_left_when_not_even_a_fallback_works(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"])
    cut(bench, *FIBRE, "agg1-metro1-ch2")
    connection = found(bench, connection_id)
    assert connection.state is ConnectionState.DEGRADED
    assert connection.fallback is None
    assert connection.reason is not None
    mend_all(bench, "agg1-metro1-ch2")
    assert found(bench, connection_id).fallback is SecurityClass.DH
    cut(bench, "agg1-metro1-ch2")
    assert found(bench, connection_id).state is ConnectionState.DEGRADED
    mend_all(bench, *FIBRE)
    assert found(bench, connection_id).fallback is None
    assert found(bench, connection_id).state is ConnectionState.ACTIVE
    assert told(bench, connection_id) == {"qra"}


def test_keys_that_are_gone_lead_to_the_fallback_and_keys_that_are_back_lead_out_of_it(bench: Bench) -> None:
    connection_id = make(bench, security="qkd", fallback=["qra"])
    bench.key_rates.unusable = frozenset({"s1"})
    bench.maintenance.poll_keys()
    (channel, *_) = found(bench, connection_id).route.channels  # type: ignore[union-attr]
    cut(bench, channel)
    connection = found(bench, connection_id)
    assert connection.fallback is SecurityClass.QRA
    assert connection.route is not None
    assert connection.route.key_sections == ()
    assert bench.model.network.reserved_key_millibps("s1") == 0
    bench.key_rates.unusable = frozenset()
    bench.maintenance.poll_keys()
    connection = found(bench, connection_id)
    assert connection.fallback is None
    assert bench.model.network.reserved_key_millibps("s1") > 0


def test_while_the_better_keys_do_not_come_it_is_still_on_the_fallback(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"])
    cut(bench, *FIBRE)
    bench.tunnels.fail = lambda op, site, i: DriverError("no keys") if op == "wait_up" and i == connection_id else None
    mend_all(bench, FIBRE[0])
    connection = found(bench, connection_id)
    assert connection.fallback is SecurityClass.DH
    assert connection.state is ConnectionState.ACTIVE
    assert not happened(bench, "fallback_undone")
    bench.tunnels.fail = lambda op, site, i: None
    pass_time(bench, 6.0)
    assert found(bench, connection_id).fallback is None


def test_dark_channels_come_before_a_fallback(tmp_path: Path) -> None:
    bench = Bench(metro_ring(), tmp_path / "db")
    connection_id = make(bench, fallback=["dh"])
    broken = split(bench)
    connection = found(bench, connection_id)
    assert connection.fallback is None
    assert connection.reroutes[-1].cause == "spare"
    mend(bench, broken)


def test_a_fallback_survives_a_restart(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"])
    cut(bench, *FIBRE)
    after = bench.next_process()
    after.maintenance.load()
    after.maintenance.restore_tunnels()
    connection = found(after, connection_id)
    assert connection.fallback is SecurityClass.DH
    assert told(after, connection_id) == {"dh"}
    after.repair_all()


def test_the_check_knows_what_was_listed(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"])
    cut(bench, *FIBRE)
    connection = found(bench, connection_id)
    asked = Asked.of(connection.request)
    reroute = connection.reroutes[-1]
    unlisted = Asked(asked.src, asked.dst, asked.level, asked.is_exact, asked.key_source, fallback=("none",))
    assert "neither asked for nor listed" in check(bench.topology, unlisted, reroute)[0]


def test_deleting_what_is_on_a_fallback_leaves_nothing(bench: Bench) -> None:
    before = bench.state()
    connection_id = make(bench, security="qkd", protection="1:1", fallback=["qra"])
    cut(bench, "agg1-metro1-ch4", "agg1-metro1-ch5")
    assert found(bench, connection_id).fallback is SecurityClass.QRA
    bench.slices.delete("s")
    mend_all(bench, "agg1-metro1-ch4", "agg1-metro1-ch5")
    assert bench.state()[:-1] == before[:-1]


def test_back_from_a_fallback_that_was_cut_the_backup_is_of_the_class_asked_for_too(bench: Bench) -> None:
    connection_id = make(bench, fallback=["dh"], protection="1:1")
    cut(bench, *FIBRE)
    lower = found(bench, connection_id)
    assert lower.fallback is SecurityClass.DH
    for channel in FIBRE:
        bench.model.observe_channels({channel: True}, silent=())  # and nobody has acted on it yet
    cut(bench, *{c for lane in lower.lanes for c in lane.route.channels if c.startswith("agg1-metro1")})
    again = found(bench, connection_id)
    assert again.fallback is None
    assert again.state is ConnectionState.ACTIVE
    classes = {bench.topology.channel(c).security for lane in again.lanes for c in lane.route.channels}
    assert min(classes) >= SecurityClass.QRA
    assert len(again.lanes) == 2
