"""A path computation or healing policy that is an extension, on the real model, operations, journal and processes.

Liars, sloths, crashers and mutators are refused by name; what they answered is on no switch and reserves nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from controller.extending.views import network_view
from controller.model.errors import ExtensionFailed
from controller.model.events import ExtensionRefused
from controller.model.reason import ReasonCode
from controller.model.states import ConnectionState, SliceState
from controller.operations.extending.pce import ExternalPce
from controller.operations.extending.terms import OnFailure, Terms
from controller.pce.computation import search_slice
from controller.pce.network import Network
from scripts.extensions.client import Worker
from scripts.extensions.naming import parse_use
from scripts.testbed.paths import REPOSITORY
from tests.support.controller_bench import Bench, request_for
from topologies.catalog import metro_ring, ukqntel

BAD = REPOSITORY / "tests" / "support" / "extensions"
LIARS = {
    "LowerClass": "class",
    "Looper": "loop",
    "WrongEnds": "ends",
    "Forgetful": "connections",
    "KeyThief": "key-rate",
    "Sloth": "late",
    "Crasher": "crashed",
    "Raiser": "raised",
    "Mutator": "mutated",
    "Babbler": "malformed",
    "Mute": "missed",
}
ON_THE_MOVE = {name: code for name, code in LIARS.items() if name not in ("Forgetful",)}


@pytest.fixture
def bench_with(tmp_path):
    workers = []

    def make(topology=None, pce=None, healing=None, on_failure=OnFailure.REJECT, is_audited=True, deadline_s=1.0):
        def terms(context, text):
            worker = Worker(parse_use(text, BAD), deadline_s)
            worker.start()
            workers.append(worker)
            return Terms(worker, context.events, on_failure, is_audited)

        def extend(context):
            if pce is not None:
                context.pce = ExternalPce(terms(context, pce))
            if healing is not None:
                context.healing = terms(context, healing)

        return Bench(topology or ukqntel(), tmp_path / "journal.sqlite", extend=extend)

    yield make
    for worker in workers:
        worker.close()


def refusals(bench):
    follower = bench.events.follow(after=0)
    found = []
    while (event := follower.next(0)) is not None:
        if isinstance(event.what, ExtensionRefused):
            found.append(event.what)
    return found


def routes_of(bench, name="enterprise-app"):
    return {c.id: tuple(lane.route for lane in c.lanes) for c in bench.model.connections_of(name)}


@pytest.mark.parametrize(("name", "code"), LIARS.items())
def test_a_slice_is_refused_with_the_name_of_who_lied_and_nothing_is_left(bench_with, name, code):
    bench = bench_with(pce=f"pce=./liars.py:{name}")
    before = bench.state()
    with pytest.raises(ExtensionFailed) as told:
        bench.slices.create(request_for("enterprise-app"))
    assert bench.context.pce.terms.name in str(told.value)
    assert bench.state() == before
    (refused,) = refusals(bench)
    assert (refused.code, refused.about, refused.used) == (code, "enterprise-app", "nothing")
    assert bench.events.totals()["extension", code] == 1


@pytest.mark.parametrize(("name", "code"), LIARS.items())
def test_or_the_builtin_plans_instead(bench_with, name, code):
    bench = bench_with(pce=f"pce=./liars.py:{name}", on_failure=OnFailure.BUILTIN)
    request = request_for("enterprise-app")
    expected = search_slice(bench.model.network.copy(), request)
    record = bench.slices.create(request)
    assert expected is not None
    assert record.state is SliceState.ACTIVE
    assert routes_of(bench) == {c.request.id: c.routes for c in expected.connections}
    assert [r.code for r in refusals(bench)] == [code]


def test_a_path_over_a_channel_that_is_down_is_refused(bench_with):
    bench = bench_with(pce="pce=./liars.py:DownChannel")
    spare = next(c.id for c in bench.topology.channels if not c.dark and c.security.label == "qkd")
    bench.cut(spare)
    with pytest.raises(ExtensionFailed):
        bench.slices.create(request_for("enterprise-app"))
    assert [r.code for r in refusals(bench)] == ["down"]


def test_an_overbooked_channel_is_refused(bench_with):
    topology = ukqntel()
    narrow = [replace(c, capacity_mbps=1) if c.id.endswith("-ch3") else c for c in topology.channels]
    bench = bench_with(replace(topology, channels=tuple(narrow)), pce="pce=./liars.py:OverBooker")
    with pytest.raises(ExtensionFailed):
        bench.slices.create(request_for("enterprise-app"))
    assert [r.code for r in refusals(bench)] == ["bandwidth"]


def test_a_path_that_protects_itself_is_refused(bench_with):
    bench = bench_with(metro_ring(), pce="pce=./liars.py:SamePathTwice")
    with pytest.raises(ExtensionFailed):
        bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": "1:1"}}))
    assert [r.code for r in refusals(bench)] == ["disjointness"]


@pytest.mark.parametrize("name", ["builtin", "yen"])
def test_what_is_shipped_makes_heals_and_removes_slices(bench_with, name):
    bench = bench_with(pce=f"pce={name}")
    empty = bench.state()
    bench.slices.create(request_for("enterprise-app"))
    connection = bench.model.connections["enterprise-app/cell1-compute"]
    bench.cut(connection.lanes[0].route.channels[-1])
    moved = bench.model.connections[connection.id]
    assert moved.state is ConnectionState.ACTIVE
    assert moved.lanes[0].route.channels != connection.lanes[0].route.channels
    assert refusals(bench) == []
    bench.mend(connection.lanes[0].route.channels[-1])
    bench.slices.delete("enterprise-app")
    assert bench.state()[:-1] == empty[:-1]


def test_builtin_as_an_extension_does_what_the_builtin_does(bench_with, tmp_path):
    bench = bench_with(pce="pce=builtin", healing="healing=builtin")
    other = Bench(ukqntel(), tmp_path / "other.sqlite")
    for one in (bench, other):
        one.slices.create(request_for("enterprise-app"))
        one.slices.create(request_for("cdn"))
        one.cut("agg1-metro1-ch3")
        one.slices.modify("enterprise-app", {"connections": {"access": {"bandwidth_mbps": 12}}})
    for name in ("enterprise-app", "cdn"):
        assert routes_of(bench, name) == routes_of(other, name)
    assert bench.switches.held() == other.switches.held()
    assert refusals(bench) == []


@pytest.mark.parametrize(("name", "code"), ON_THE_MOVE.items())
def test_a_connection_that_lost_its_path_gets_none_of_a_liars(bench_with, name, code):
    """It is made by the builtin, then the liar is put in its place."""
    bench = bench_with(pce=f"pce=./liars.py:{name}", on_failure=OnFailure.BUILTIN)
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": "restoration"}}))
    object.__setattr__(bench.context.pce.terms, "on_failure", OnFailure.REJECT)
    connection = bench.model.connections["enterprise-app/compute-core"]
    bench.now += 10
    bench.context.pce.terms.worker._rests_until = 0.0
    bench.cut(connection.lanes[0].route.channels[0])
    after = bench.model.connections[connection.id]
    assert after.state is ConnectionState.DEGRADED
    assert after.reason is not None
    assert after.reason.code is ReasonCode.EXTENSION
    assert bench.context.pce.terms.name in after.reason.detail
    assert not after.lanes
    assert {r.code for r in refusals(bench) if "/" in r.about} == {code}
    for site in bench.topology.site_names:
        assert bench.maintenance.reconcile(site, partial(bench.switches.installed, site))


def test_without_the_auditor_a_lie_is_installed(bench_with):
    """The defence off: what it keeps from happening does happen."""
    bench = bench_with(pce="pce=./liars.py:LowerClass", is_audited=False)
    bench.slices.create(request_for("enterprise-app"))
    weak = [
        c.id
        for c in bench.model.connections_of("enterprise-app")
        for channel in c.lanes[0].route.channels
        if not c.request.spec.security.is_met_by(bench.topology.channel(channel).security)
    ]
    assert weak


def test_nobody_waits_for_an_extension_with_the_lock_held(bench_with, monkeypatch):
    bench = bench_with(pce="pce=./liars.py:Sloth", deadline_s=1.5)
    worker, is_asked = bench.context.pce.terms.worker, threading.Event()
    ask = worker.ask

    def asked(*question):
        is_asked.set()
        return ask(*question)

    monkeypatch.setattr(worker, "ask", asked)

    def create() -> None:
        with pytest.raises(ExtensionFailed):
            bench.slices.create(request_for("cdn"))

    done = threading.Thread(target=create)
    done.start()
    assert is_asked.wait(20)
    began = time.monotonic()
    with bench.context.lock:
        waited_s = time.monotonic() - began
    done.join()
    assert waited_s < 0.5


def test_the_view_shows_what_is_left(bench_with):
    bench = bench_with()
    bench.slices.create(request_for("enterprise-app"))
    view = network_view(bench.model.network)
    used = {c: lane for one in bench.model.connections.values() for lane in one.lanes for c in lane.route.channels}
    for channel in view.channels:
        assert (channel.free_kbps != (channel.capacity_kbps, channel.capacity_kbps)) is (channel.id in used)
    assert isinstance(bench.model.network, Network)


# --- healing ------------------------------------------------------------------------------------------------------

QUACKS = {
    "GivesUp": "has-path",
    "FallsBack": "fallback",
    "WaitsForEver": "wait",
    "Overlooks": "connections",
    "Contradicts": "connections",
    "Sleeps": "late",
    "Dies": "crashed",
}
ACCESS = "enterprise-app/cell1-compute"


def made(bench):
    bench.slices.create(request_for("enterprise-app", {"backhaul": {"protection": "restoration"}}))
    return bench.model.connections[ACCESS]


def test_the_lazy_policy_leaves_what_comes_back_where_it_is(bench_with):
    bench = bench_with(healing="healing=lazy")
    before = made(bench)
    channel = before.lanes[0].route.channels[0]
    bench.cut(channel)
    waiting = bench.model.connections[ACCESS]
    assert waiting.state is ConnectionState.DEGRADED
    assert waiting.reason.code is ReasonCode.EXTENSION
    assert "healing lazy 1.0 waits 1 s" in waiting.reason.detail
    assert waiting.lanes == before.lanes
    bench.now += 0.5
    bench.mend(channel)
    back = bench.model.connections[ACCESS]
    assert (back.state, back.lanes[0].route) == (ConnectionState.ACTIVE, before.lanes[0].route)
    assert back.reroutes == ()
    assert refusals(bench) == []


def test_and_moves_what_does_not(bench_with):
    bench = bench_with(healing="healing=lazy")
    before = made(bench)
    bench.cut(before.lanes[0].route.channels[0])
    bench.now += 0.6
    bench.maintenance.run_due()
    assert bench.model.connections[ACCESS].state is ConnectionState.DEGRADED
    bench.now += 0.6
    bench.maintenance.run_due()
    moved = bench.model.connections[ACCESS]
    assert moved.state is ConnectionState.ACTIVE
    assert moved.lanes[0].route.channels != before.lanes[0].route.channels
    for site in bench.topology.site_names:
        assert bench.maintenance.reconcile(site, partial(bench.switches.installed, site))


@pytest.mark.parametrize(("name", "code"), QUACKS.items())
def test_a_harmful_verdict_is_named_and_not_carried_out(bench_with, name, code):
    bench = bench_with(healing=f"healing=./quacks.py:{name}")
    before = made(bench)
    bench.cut(before.lanes[0].route.channels[0])
    after = bench.model.connections[ACCESS]
    assert after.state is ConnectionState.DEGRADED
    assert after.reason.code is ReasonCode.EXTENSION
    assert after.lanes == before.lanes
    assert {(r.extension, r.code, r.used) for r in refusals(bench)} == {
        (f"healing {_dashed(name)} 0.1", code, "nothing")
    }
    others = [c for c in bench.model.connections_of("enterprise-app") if c.id != ACCESS]
    assert {c.state for c in others if before.lanes[0].route.channels[0] not in c.lanes[0].route.channels} == {
        ConnectionState.ACTIVE
    }


@pytest.mark.parametrize(("name", "code"), QUACKS.items())
def test_or_the_builtin_heals_instead(bench_with, name, code):
    bench = bench_with(healing=f"healing=./quacks.py:{name}", on_failure=OnFailure.BUILTIN)
    before = made(bench)
    bench.cut(before.lanes[0].route.channels[0])
    after = bench.model.connections[ACCESS]
    assert after.state is ConnectionState.ACTIVE
    assert after.lanes[0].route.channels != before.lanes[0].route.channels
    assert {(r.code, r.used) for r in refusals(bench)} == {(code, "builtin")}


def test_a_policy_that_failed_is_asked_again(bench_with):
    bench = bench_with(healing="healing=./quacks.py:Overlooks")
    before = made(bench)
    bench.cut(before.lanes[0].route.channels[0])
    first = len(refusals(bench))
    bench.now += 4
    bench.maintenance.run_due()
    assert len(refusals(bench)) == first
    bench.now += 2
    bench.maintenance.run_due()
    assert len(refusals(bench)) == 2 * first


def _dashed(name):
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")
