"""A fork of the state is the same, does the same, and is another: what happens to one never shows in the other."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.connection import Connection, Reroute, SlowRekey
from controller.model.connectivity import Finding, Verdict
from controller.model.dark_channel import Spare, SpareState
from controller.model.errors import ControllerError
from controller.model.reason import UNEXPLAINED
from controller.model.recurrence import Occurrence
from controller.model.request import ThreeRoles
from controller.model.slice_record import SliceRecord
from controller.model.states import ConnectionState, SliceState
from controller.pce.computation import SlicePlan
from controller.pce.route_query import search_relay, search_route
from controller.policy import failure, restoration
from controller.policy.slice_change import begin, plan_change, revert
from controller.state.network_state import NetworkState
from controller.state.reading import StateReading
from tests.support.controller_bench import request_for
from topologies.catalog import metro_ring
from topologies.spec import EncryptionMode, SecurityClass

TOPOLOGY = metro_ring(mbps_per_gbps=0.5)
CHANNELS = [c.id for c in TOPOLOGY.channels if not c.dark]
SPARES = [c.id for c in TOPOLOGY.channels if c.dark]
SECTIONS = [s.id for s in TOPOLOGY.sections]
SITES = list(TOPOLOGY.site_names)
NAMES = ("one", "two", "three")
REROUTE = Reroute(1.0, ("a",), ("b",), (), "qkd", "qkd", "failure")


def seen(model: NetworkState) -> dict[str, Any]:
    """Everything that can be read of a state, and what it would do next where that cannot be read."""
    network = model.network
    properties = [name for name, value in inspect.getmembers(StateReading) if isinstance(value, property)]
    read = {name: getattr(model, name) for name in properties}
    read = {name: dict(value) if hasattr(value, "keys") else value for name, value in read.items()}
    for name in ("network", "labels", "client_ports", "intended"):
        del read[name]
    owners = [f"{c.id}#{lane.generation}" for c in model.connections.values() for lane in c.lanes]
    # Numbers and the rules of each connection cannot be read: a fork that is thrown away shows them.
    trial = model.fork()
    return read | {
        "channels": [(c, network.is_channel_up(c), network.is_dark(c), network.reserved_kbps(c)) for c in CHANNELS],
        "spares up": [(c, network.is_channel_up(c), network.is_dark(c)) for c in SPARES],
        "sections": [
            (network.is_section_usable(s), network.key_rate_millibps(s), network.reserved_key_millibps(s))
            for s in SECTIONS
        ],
        "sites": [(network.is_site_up(s), network.free_compute(s)) for s in SITES],
        "fingerprint": network.fingerprint(),
        "rates": [(owner, network.is_reserved(owner), network.reserved_rate_millibps(owner)) for owner in owners],
        "labels": [model.labels.taken(c.id, end) for c in TOPOLOGY.channels for end in c.ends],
        "client ports": {w.id: model.client_ports.holders(w.id) for w in TOPOLOGY.wavelengths},
        "departures": model.departures,
        "intended": {site: model.intended.at(site) for site in SITES},
        "relays": {i: model.kept_relay(i) for i in model.connections},
        "number": trial.take_number(),
        "rules": {c.id: trial.withdraw_all([c]) for c in model.connections.values()},
        "trial": trial.withdraw_trial(),
    }


# --- what may happen -------------------------------------------------------------------------------------------------


def one_of(model: NetworkState, rng: random.Random) -> Connection | None:
    """A connection of a slice that nobody is changing: what such a one holds is in what its slice retains."""
    found = [c for _, c in sorted(model.connections.items()) if c.request.slice_name not in model.retained]
    return rng.choice(found) if found else None


def at_work(model: NetworkState, rng: random.Random) -> SliceRecord | None:
    names = [n for n, r in sorted(model.slices.items()) if r.state in (SliceState.ACTIVE, SliceState.DEGRADED)]
    return model.slice(rng.choice(names)) if names else None


def create(model: NetworkState, rng: random.Random) -> None:
    request = request_for(rng.choice(["enterprise-app", "cdn"]), name=rng.choice(NAMES))
    plan = model.plan(request)
    if not isinstance(plan, SlicePlan):
        model.needed_switches_away(request)
        return
    record = model.reserve(plan, 1.0)
    model.hold_reservation(record.name, "held", 60.0)
    if rng.random() < 0.2:
        return
    model.begin_provisioning(record.name)
    if rng.random() < 0.2:
        model.take_occurrence(record.name, Occurrence(rng.randint(1, 9), 1.0, 2.0))
    for connection in model.connections_of(record.name):
        model.set_state(connection.id, ConnectionState.INSTALLING)
    model.install_transit(record.connection_ids)
    model.switch_ingress(record.connection_ids)
    for connection in model.connections_of(record.name):
        model.set_state(connection.id, ConnectionState.ACTIVE)
    model.add_timings(record.name, {"active": rng.random()})
    model.settled(record.name)


def remove(model: NetworkState, rng: random.Random) -> None:
    if not model.slices:
        return
    name = rng.choice(sorted(model.slices))
    if model.slice(name).state in (SliceState.ACTIVE, SliceState.DEGRADED) and rng.random() < 0.5:
        model.begin_deleting(name, rng.choice([None, Occurrence(2, 3.0, 4.0)]))
    going = model.everything_of(name)
    model.withdraw_ingress(going)
    if rng.random() < 0.8:
        model.withdraw_all(going)
        model.forget(name)


def carry_out(model: NetworkState, decisions: list[restoration.Decision], rng: random.Random) -> None:
    ids = [d.id for d in decisions if d.is_reroute]
    model.install_transit(ids)
    model.switch_ingress(ids)
    for connection_id in ids:
        model.set_state(connection_id, ConnectionState.ACTIVE)
        model.record_reroute(connection_id, REROUTE)
    if rng.random() < 0.7:
        model.remove_old([d.id for d in decisions])
    for name in sorted({d.after.request.slice_name for d in decisions}):
        model.refresh_state(name)


def cut(model: NetworkState, rng: random.Random) -> None:
    changes = dict.fromkeys(rng.sample(CHANNELS, 4), False)
    model.observe_channels(changes, rng.sample(CHANNELS, 1))
    carry_out(model, failure.decide(model, failure.affected(model)), rng)


def mend(model: NetworkState, rng: random.Random) -> None:
    model.observe_channels(dict.fromkeys(CHANNELS, True), ())
    carry_out(model, restoration.retry(model, restoration.retriable(model)), rng)
    carry_out(model, restoration.protect(model, restoration.unprotected(model)), rng)


def move(model: NetworkState, rng: random.Random) -> None:
    """Leave the way and come back to it, or take another one."""
    before = one_of(model, rng)
    if before is None or not before.lanes or before.state is not ConnectionState.ACTIVE:
        return
    if rng.random() < 0.4:
        model.drop_lanes(before.id, before.lanes[: rng.choice([1, 2])])
        model.undo_release(before)
        return
    route = search_route(model.network, before.request)
    if route is not None:
        model.swap_lanes(before.id, [route], rng.choice([None, *before.request.spec.fallback]))
        model.add_lane(before.id, route)


def lose(model: NetworkState, rng: random.Random) -> None:
    """A way is lost; while nobody knows what sections give, its relay is remembered."""
    if rng.random() < 0.7:
        model.set_unknown_sections(SECTIONS)
    connection = one_of(model, rng)
    if connection is not None:
        model.drop_lanes(connection.id, connection.lanes)


def supply(model: NetworkState, rng: random.Random) -> None:
    """Keys from elsewhere, at another rate, or from nowhere; sections that nobody knows of."""
    for section in rng.sample(SECTIONS, 3):
        model.observe_section(section, rng.choice([0, 50_000, 900_000]), is_usable=rng.random() < 0.8)
    model.set_unknown_sections(rng.choice([[], rng.sample(SECTIONS, 4), SECTIONS]))
    model.review_card_keys()
    connection = one_of(model, rng)
    if connection is not None and connection.lanes and connection.request.spec.key_rate_millibps:
        relay = search_relay(model.network, connection.request)
        if relay is not None:
            model.set_relay(connection.id, relay, rng.choice([1, 40_000]))


def note(model: NetworkState, rng: random.Random) -> None:
    connection = one_of(model, rng)
    if connection is None:
        return
    model.note_reason(connection.id, rng.choice([None, UNEXPLAINED]))
    model.keep_fallback(connection.id, rng.choice([None, SecurityClass.DH]) if not connection.lanes else None)
    if rng.random() < 0.5:
        model.slow_down(connection.id, SlowRekey(rng.choice([60.0, 120.0]), "too little key"))
    else:
        model.restore_pace(connection.id)
    record = model.slice(connection.request.slice_name)
    model.put_back(replace(record, reason=rng.choice([None, "no"])), [model.connections[connection.id]])


def confirm(model: NetworkState, rng: random.Random) -> None:
    """Switches have done what they were told, or are repaired; labels become free."""
    site, now = rng.choice(SITES), rng.uniform(0.0, 100.0)
    model.confirm_departures(site, range(rng.randint(0, model.departures + 1)), now)
    model.confirm_comparison(rng.choice(SITES), rng.randint(0, model.departures), now)
    model.repair(site, model.intended.difference(site, rng.sample(sorted(model.intended.at(site), key=repr), 1)))
    model.release_due_labels(now)


def configure(model: NetworkState, rng: random.Random) -> None:
    """One device is set up, another one undone."""
    connection = one_of(model, rng)
    if connection is not None:
        model.install_at(connection, rng.choice(SITES))
        model.withdraw_at(connection, rng.choice(SITES))


def schedule(model: NetworkState, rng: random.Random) -> None:
    name = "later"
    scheduled = SliceRecord(request_for("cdn", name=name), None, (), SliceState.SCHEDULED)
    if name not in model.slices:
        model.schedule(scheduled)
    elif rng.random() < 0.5:
        model.unschedule(name)
    elif model.slice(name).state is SliceState.SCHEDULED and rng.random() < 0.5:
        model.set_slice_state(name, SliceState.FAILED)
    else:
        model.keep_failed(replace(scheduled, state=SliceState.FAILED, reason="no room"))


def observe(model: NetworkState, rng: random.Random) -> None:
    model.observe_findings({i: Finding(rng.choice(list(Verdict)), rng.random()) for i in model.connections})
    model.note_conditions({i: ("it rains",) for i in sorted(model.connections) if rng.random() < 0.5})
    model.observe_switches(rng.sample(SITES, 6), rng.random())
    model.doubt_channels(rng.sample(CHANNELS, 2))


def light(model: NetworkState, rng: random.Random) -> None:
    channel = rng.choice(SPARES)
    model.install_trial([channel])
    model.set_spare(channel, rng.choice([Spare(SpareState.LIT), Spare(SpareState.DARK, "dead", rng.random())]))
    if rng.random() < 0.5:
        model.withdraw_trial()


def change(model: NetworkState, rng: random.Random) -> None:
    """A change of a slice that is finished, undone, or stays under way."""
    record = at_work(model, rng)
    if record is None or record.name in model.retained:
        return
    shape = record.request.shape
    assert isinstance(shape, ThreeRoles)
    compute = replace(shape.compute, vcpus=rng.choice([1, 2, 3]), site=rng.choice(["agg1", "agg2", "metro1"]))
    cells = rng.choice([("cell1",), ("cell1", "cell2")])
    wanted = replace(record.request, shape=replace(shape, compute=compute, cells=cells))
    plan = plan_change(model, wanted, is_placement_open=True)
    if not isinstance(plan, SlicePlan):
        return
    changing = begin(model, plan)
    ids = [i for i in (*changing.changed, *changing.added) if model.connections[i].lanes]
    model.install_transit(ids)
    model.switch_ingress(ids)
    end = rng.choice(["finished", "undone", "under way"])
    if end == "under way":
        return
    gone = [model.connections[i] for i in changing.leaving]
    if end == "undone":
        gone = list(revert(model, changing))
        ids = [*changing.changed, *changing.leaving]
    else:
        model.release_old_lanes(record.name)
    for connection_id in ids:
        if model.connections[connection_id].state in (ConnectionState.REROUTING, ConnectionState.INSTALLING):
            model.set_state(connection_id, ConnectionState.ACTIVE)
    model.remove_old(ids)
    model.withdraw_all(gone)
    model.forget_connections([c.id for c in gone])
    model.release_retained(record.name)
    model.settled(record.name)


def draft(model: NetworkState, rng: random.Random) -> None:
    """What a change takes for itself before it is adopted; it may be interrupted."""
    number = model.take_number()
    connection = one_of(model, rng)
    if connection is not None and connection.lanes:
        lane = model.take_labels(connection, connection.lanes[0].route, 99)
        if rng.random() < 0.5:
            model.give_back_labels(connection.id, lane)
    if rng.random() < 0.5:
        model.give_back_number(number)


HAPPENINGS: tuple[Callable[[NetworkState, random.Random], None], ...] = (
    create, create, create, remove, cut, mend, move, lose, supply, note, schedule, observe, light, change, change,
    draft, confirm, configure,
)  # fmt: skip
HISTORIES = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 2**16)), max_size=8)
History = list[tuple[Callable[[NetworkState, random.Random], None], int]]


def happen(model: NetworkState, history: History) -> None:
    """What is refused is refused half-way at worst: that too must not show elsewhere."""
    for step, seed in history:
        with contextlib.suppress(ControllerError):
            step(model, random.Random(seed))


def begun(history: History) -> NetworkState:
    model = NetworkState(TOPOLOGY, encryption=EncryptionMode.BOTH)
    for section in SECTIONS:
        model.observe_section(section, 900_000, is_usable=True)
    happen(model, [(create, 1), (create, 2), (create, 3), *history])
    return model


@given(before=HISTORIES, on_fork=HISTORIES, on_original=HISTORIES)
@settings(max_examples=150, deadline=None)
def test_what_happens_to_one_does_not_show_in_the_other(
    before: History, on_fork: History, on_original: History
) -> None:
    original = begun(before)
    fork = original.fork()
    was = seen(original)
    assert seen(fork) == was
    happen(fork, on_fork)
    assert seen(original) == was
    then = seen(fork)
    happen(original, on_original)
    assert seen(fork) == then


@given(before=HISTORIES, after=HISTORIES)
@settings(max_examples=100, deadline=None)
def test_the_same_happens_to_both(before: History, after: History) -> None:
    original = begun(before)
    fork = original.fork()
    happen(original, after)
    happen(fork, after)
    assert seen(fork) == seen(original)


def test_a_fork_can_do_all_that_its_original_can() -> None:
    """Every method that writes is among what happens above.

    But for reading the journal, which is for the first, and for who plans, which is settled before there is a slice.
    """
    text = inspect.getsource(sys.modules[__name__])
    reads = {name for name, _ in inspect.getmembers(StateReading)}
    writers = {name for name, _ in inspect.getmembers(NetworkState) if not name.startswith("_")} - reads
    missing = {name for name in writers if f"model.{name}(" not in text}
    planners = {"plan_by", "planner", "find_routes_by", "route_finder"}
    assert missing == {"restore", "mutation", "adopt_form"} | planners  # begin() and revert() adopt forms
