"""Faults as values: every one has an inverse, and what overlaps composes."""

from __future__ import annotations

import itertools
import stat
from pathlib import Path

import pytest

from kms.sources.qkd.modes import AttackKind
from scripts.cli.commands.network.risks import risks
from scripts.errors import DidNotHold, EnvironmentLacks, WrongRequest
from scripts.testbed.faults import (
    FAULTS,
    Element,
    Fault,
    FaultKind,
    Faults,
    effects,
    hidden_behind,
    require_target,
    surviving_channels,
    targets,
    with_fault,
    without,
)
from scripts.testbed.life.supervisor import ControlServer, SupervisorClient
from topologies import links
from topologies.catalog import load
from topologies.links import Direction, Impairment

TOPOLOGY = load("ukqntel")
UK_FIBRE = "fibre-adastral-cambridge"
CHANNEL = TOPOLOGY.channel("agg1-metro1-ch3")
A, B = links.interfaces(TOPOLOGY, CHANNEL)
CUT = Fault(FaultKind.CUT, CHANNEL.id)
EXAMPLES = (
    CUT,
    Fault(FaultKind.CUT, CHANNEL.id, Direction.A_TO_B),
    Fault(FaultKind.BLACKHOLE, CHANNEL.id),
    Fault(FaultKind.BLACKHOLE, CHANNEL.id, Direction.B_TO_A),
    Fault(FaultKind.POWER_OFF, "metro1"),
    Fault(FaultKind.EAVESDROP, "s1", fraction=0.5),
    Fault(FaultKind.EAVESDROP, "s2", attack=AttackKind.PHOTON_NUMBER_SPLITTING),
    Fault(FaultKind.CUT_SECTION, "s1"),
    Fault(FaultKind.CUT_RISK, "ch3"),
    Fault(FaultKind.KILL, "kms"),
    Fault(FaultKind.IMPAIR, CHANNEL.id, impairment=Impairment(1.5, 20.0, 5.0)),
    Fault(FaultKind.IMPAIR, CHANNEL.id, Direction.B_TO_A, impairment=Impairment(loss_pct=100.0)),
)


@pytest.mark.parametrize("fault", EXAMPLES, ids=str)
def test_every_fault_shows_and_its_inverse_leaves_no_trace(fault: Fault) -> None:
    broken, same = with_fault((), fault)
    assert same is None
    assert effects(TOPOLOGY, broken) != effects(TOPOLOGY, ())
    mended, lifted = without(broken, FAULTS[fault.kind].inverse, fault.target)
    assert (mended, lifted) == ((), (fault,))
    assert Fault.from_dict(fault.to_dict()) == fault


def test_whatever_the_order_in_which_overlapping_faults_are_lifted_nothing_remains() -> None:
    for order in itertools.permutations((*EXAMPLES[2:6], *EXAMPLES[7:9])):
        active: Faults = tuple(EXAMPLES)
        for fault in order:
            active, _ = without(active, FAULTS[fault.kind].inverse, fault.target)
        assert effects(TOPOLOGY, active) == effects(TOPOLOGY, (Fault(FaultKind.KILL, "kms"),))


def test_a_channel_cut_before_its_site_went_off_stays_cut_when_the_site_is_back() -> None:
    active, _ = with_fault((CUT,), Fault(FaultKind.POWER_OFF, "metro1"))
    active, _ = without(active, "node up", "metro1")
    assert effects(TOPOLOGY, active).dead == {A, B}


def test_a_fault_on_what_another_has_removed_is_recorded_and_says_behind_what() -> None:
    off = Fault(FaultKind.POWER_OFF, "metro1")
    active, _ = with_fault((off,), CUT)
    assert CUT in active
    assert hidden_behind(TOPOLOGY, active, CUT) == (off,)
    eve, dead = Fault(FaultKind.EAVESDROP, "s1"), Fault(FaultKind.KILL, "kms")
    assert effects(TOPOLOGY, (dead, eve)).eavesdropped == {}
    assert hidden_behind(TOPOLOGY, (dead, eve), eve) == (dead,)


def test_the_kme_of_a_site_is_away_with_the_kms_and_still_away_when_that_is_back() -> None:
    kme, dead = Fault(FaultKind.KILL, "kme-metro1"), Fault(FaultKind.KILL, "kms")
    assert effects(TOPOLOGY, (kme,)).killed == {"kme-metro1"}
    assert effects(TOPOLOGY, (kme, dead)).killed == {"kms"}
    assert hidden_behind(TOPOLOGY, (kme, dead), kme) == (dead,)
    active, _ = without((kme, dead), "restart", "kms")
    assert effects(TOPOLOGY, active).killed == {"kme-metro1"}


def test_directions_are_the_sending_ends() -> None:
    there = Fault(FaultKind.BLACKHOLE, CHANNEL.id, Direction.A_TO_B)
    back = Fault(FaultKind.BLACKHOLE, CHANNEL.id, Direction.B_TO_A)
    assert effects(TOPOLOGY, (there,)).silent == {A}
    assert effects(TOPOLOGY, (back,)).silent == {B}
    assert CHANNEL.id not in surviving_channels(TOPOLOGY, (there,))


def test_lifting_one_direction_of_two_leaves_the_other() -> None:
    remaining, lifted = without((Fault(FaultKind.BLACKHOLE, CHANNEL.id),), "link up", CHANNEL.id, Direction.A_TO_B)
    assert effects(TOPOLOGY, remaining).silent == {B}
    assert len(lifted) == 1


def test_lifting_what_is_not_there_lifts_nothing() -> None:
    assert without((CUT,), "link up", "agg1-metro1-ch1") == ((CUT,), ())
    assert without((CUT,), "node up", "metro1") == ((CUT,), ())


@pytest.mark.parametrize("element", Element)
def test_unknown_elements_are_named(element: Element) -> None:
    for target in targets(TOPOLOGY, element):
        require_target(TOPOLOGY, element, target)
    with pytest.raises(WrongRequest, match="atlantis"):
        require_target(TOPOLOGY, element, "atlantis")


def test_a_fault_without_directions_refuses_one() -> None:
    with pytest.raises(WrongRequest, match="direction"):
        Fault(FaultKind.KILL, "kms", Direction.A_TO_B)
    with pytest.raises(WrongRequest, match="fraction"):
        Fault(FaultKind.EAVESDROP, "s1", fraction=0)


def test_the_control_socket_is_its_owners_alone_and_passes_refusals_on(tmp_path: Path) -> None:
    asked: list[str] = []

    def restart(name: str) -> None:
        asked.append(name)
        if name != "kms":
            raise WrongRequest(f"there is no process {name!r}")

    path = tmp_path / "supervisor.sock"
    server = ControlServer(path, restart, lambda: asked.append("(names)"))
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        SupervisorClient(path).restart("kms")
        with pytest.raises(DidNotHold, match="no process 'x'"):
            SupervisorClient(path).restart("x")
        SupervisorClient(path).refresh_names()
    finally:
        server.close()
    assert asked == ["kms", "x", "(names)"]
    with pytest.raises(EnvironmentLacks, match="supervisor"):
        SupervisorClient(path).restart("kms")


def test_a_cut_spare_carries_nothing_even_when_its_ports_are_raised() -> None:
    topology = load("metro-ring")
    spare = next(c for c in topology.channels if c.dark)
    ends = frozenset(links.interfaces(topology, spare))
    state = effects(topology, (Fault(FaultKind.CUT, spare.id),))
    assert state.dead == state.silent == ends
    lit = next(c for c in topology.channels if not c.dark)
    assert not effects(topology, (Fault(FaultKind.CUT, lit.id),)).silent


def test_a_cut_fibre_takes_its_channels_and_its_qkd_section_together() -> None:
    topology = load("metro-ring")
    fibre = Fault(FaultKind.CUT_RISK, "fibre-agg1-metro1")
    on_it = [c for c in topology.channels if set(c.ends) == {"agg1", "metro1"}]
    state = effects(topology, (fibre,))
    assert state.dead == {i for c in on_it for i in links.interfaces(topology, c)}
    assert state.unlit == {"q-agg1-metro1"}
    assert surviving_channels(topology, (fibre,)) == {c.id for c in topology.channels} - {c.id for c in on_it}
    assert hidden_behind(topology, (fibre,), Fault(FaultKind.CUT, on_it[0].id)) == (fibre,)
    assert hidden_behind(topology, (fibre,), Fault(FaultKind.CUT_SECTION, "q-agg1-metro1")) == (fibre,)
    assert hidden_behind(topology, (fibre,), Fault(FaultKind.CUT_SECTION, "q-core1-core2")) == ()
    spares = effects(topology, (Fault(FaultKind.CUT_RISK, "fibre-agg1-metro3"),))
    assert spares.silent == spares.dead != frozenset()
    assert effects(TOPOLOGY, (Fault(FaultKind.CUT_RISK, "ch3"),)).unlit == frozenset()
    with pytest.raises(WrongRequest, match="GROUP: there is no risk group 'fibre'; there are ch1, ch2"):
        require_target(TOPOLOGY, Element.RISK, "fibre")


@pytest.mark.parametrize("name", ["ukqntel", "ukqntel-242km", "ukqntel-cow"])
def test_the_one_fibre_of_the_papers_takes_all_data_and_all_qkd_with_it(name: str) -> None:
    topology = load(name)
    cut = Fault(FaultKind.CUT_RISK, UK_FIBRE)
    assert surviving_channels(topology, (cut,)) == frozenset()
    assert effects(topology, (cut,)).unlit == {s.id for s in topology.sections}
    assert effects(topology, without((cut,), "risk up", UK_FIBRE)[0]) == effects(topology, ())


def test_with_cards_a_cut_fibre_is_the_cut_of_its_wavelengths_lines() -> None:
    """The carriers of the circuits follow the lines', whose cards see the cut; what has no card is cut at its ends."""
    sealed = {w.id for w in TOPOLOGY.wavelengths} - {"ch1"}
    state = effects(TOPOLOGY, (Fault(FaultKind.CUT_RISK, UK_FIBRE),), sealed)
    assert state.lines == sealed
    clear = [c for c in TOPOLOGY.channels if c.wavelength == "ch1"]
    assert state.dead == {i for c in clear for i in links.interfaces(TOPOLOGY, c)}
    assert state.unlit == {s.id for s in TOPOLOGY.sections}


def test_what_fails_together_is_listed_with_what_of_it_is_broken() -> None:
    assert {r["state"] for r in risks(TOPOLOGY, ())} == {"up"}
    fibre = next(r for r in risks(TOPOLOGY, ()) if r["id"] == UK_FIBRE)
    assert fibre["channels"] == [c.id for c in TOPOLOGY.channels]
    assert fibre["sections"] == [s.id for s in TOPOLOGY.sections]
    of_one_channel = {r["id"]: r["state"] for r in risks(TOPOLOGY, (Fault(FaultKind.CUT_RISK, "ch3"),))}
    assert of_one_channel == {
        "ch1": "up",
        "ch2": "up",
        "ch3": "down",
        "ch4": "up",
        "ch5": "up",
        UK_FIBRE: "partly down",
    }
    assert {r["state"] for r in risks(TOPOLOGY, (Fault(FaultKind.CUT_RISK, UK_FIBRE),))} == {"down"}


def test_the_qkd_sections_that_end_at_a_site_are_dark_while_it_is_off() -> None:
    topology = load("metro-ring")
    off = Fault(FaultKind.POWER_OFF, "core2")
    ending = {s.id for s in topology.sections if "core2" in (s.a, s.b)}
    assert effects(topology, (off,)).unlit == ending != set()
    assert effects(TOPOLOGY, (Fault(FaultKind.POWER_OFF, "core1"),)).unlit == frozenset()  # its QKD ends elsewhere
    hidden = Fault(FaultKind.CUT_SECTION, min(ending))
    assert hidden_behind(topology, (off, hidden), hidden) == (off,)


def test_an_impaired_port_loses_some_and_of_two_orders_the_last_holds() -> None:
    some, all_ = Impairment(loss_pct=5.0), Impairment(loss_pct=100.0)
    both = Fault(FaultKind.IMPAIR, CHANNEL.id, impairment=some)
    one = Fault(FaultKind.IMPAIR, CHANNEL.id, Direction.A_TO_B, impairment=all_)
    assert effects(TOPOLOGY, (both,)).impaired == {A: some, B: some}
    assert effects(TOPOLOGY, (both, one)).impaired == {A: all_, B: some}
    assert CHANNEL.id in surviving_channels(TOPOLOGY, (both,))
    assert CHANNEL.id not in surviving_channels(TOPOLOGY, (both, one))
    remaining, lifted = without((both,), "link up", CHANNEL.id, Direction.A_TO_B)
    assert [(f.direction, f.impairment) for f in (*remaining, *lifted)] == [
        (Direction.B_TO_A, some),
        (Direction.A_TO_B, some),
    ]
    assert str(Fault(FaultKind.IMPAIR, "x", impairment=Impairment(1.5, 20.0, 5.0))) == (
        "link impair x by 1.5 % loss, 20 ms delay, 5 ms jitter"
    )


@pytest.mark.parametrize(("kind", "how"), [(FaultKind.IMPAIR, Impairment()), (FaultKind.CUT, Impairment(1.0))])
def test_an_impairment_of_nothing_and_one_of_a_cut_are_refused(kind: FaultKind, how: Impairment) -> None:
    with pytest.raises(WrongRequest, match="impairment"):
        Fault(kind, CHANNEL.id, impairment=how)
