"""Everything that is shipped passes the suite; everything that lies, hangs, crashes or is broken does not."""

from __future__ import annotations

import json

import pytest

from scripts.bench.pce.comparison import compare
from scripts.cli.main import main
from scripts.conformance.suite import check_extension
from scripts.extensions.naming import SHIPPED, parse_use
from scripts.extensions.protocols import Kind
from scripts.testbed.paths import REPOSITORY

BAD = REPOSITORY / "tests" / "support" / "extensions"


# What asks a vendor's KME is tried where there is one: tests/contract/kms/test_extension_source.py.
ALONE = [f"{kind.value}={name}" for kind, names in SHIPPED.items() for name in names if kind is not Kind.SOURCE]


@pytest.mark.parametrize("text", ALONE)
def test_what_is_shipped_passes(text):
    report = check_extension(parse_use(text, REPOSITORY), deadline_s=10.0)
    assert [check for check in report.checks if not check.ok] == []


@pytest.mark.parametrize(
    ("text", "fails", "says"),
    [
        ("pce=./liars.py:LowerClass", "every plan passes the auditor", "class"),
        ("pce=./liars.py:Looper", "every route passes the auditor", "loop"),
        ("pce=./liars.py:OverBooker", "every plan passes the auditor", "bandwidth"),
        ("pce=./liars.py:DownChannel", "every plan passes the auditor", "down"),
        ("pce=./liars.py:Mutator", "every plan passes the auditor", "changed what it was given"),
        ("pce=./liars.py:Crasher", "every plan passes the auditor", "its process ended"),
        ("pce=./liars.py:Raiser", "every route passes the auditor", "ZeroDivisionError"),
        ("pce=./liars.py:Babbler", "every plan passes the auditor", "SlicePlan"),
        ("pce=./liars.py:Mute", "it finds something", "0 of"),
        ("pce=./liars.py:Incomplete", "it is there, whole", "route"),
        ("pce=./half.py:Half", "it is there, whole", "out of luck"),
        ("pce=nowhere:Pce", "it is there, whole", "not-there"),
        ("healing=./quacks.py:GivesUp", "every verdict passes the auditor", "there is a path"),
        ("healing=./quacks.py:WaitsForEver", "every verdict passes the auditor", "at most 30 s"),
        ("healing=./quacks.py:Overlooks", "every verdict passes the auditor", "0 verdicts"),
        ("fault=./scenario_parts.py:LeavesSomething", "done and lifted again, all is as before", "is left"),
        ("fault=./scenario_parts.py:DoesNothing", "done and lifted again, all is as before", "does nothing"),
        ("fault=./scenario_parts.py:TakesOurName", "its commands are its own", "link up"),
        ("fault=./scenario_parts.py:Loses200", "done and lifted again, all is as before", "loss_pct"),
        ("step=./scenario_parts.py:Elsewhere", "what it does can be done", "atlantis"),
        ("source=./sources.py:TwoFaced", "both ends have the same secret", "different secrets"),
        ("source=./sources.py:Short", "both ends have the same secret", "octets"),
        ("source=./sources.py:Same", "every secret is another", "1 in 40"),
        ("source=./sources.py:Same", "no secret stands in a message", "1 of 1"),
        ("source=./sources.py:Talkative", "both ends have the same secret", "raised"),
        ("source=./sources.py:Touchy", "a wrong message harms nobody", "1 crashes or hangs in 3"),
        ("source=etsi014-upstream", "both ends have the same secret", "NotConfigured"),
        ("suite=./suites.py:WrongVectors", "it is there, whole", "x-wrong-vectors: its vectors hold: vector 3"),
        ("suite=./suites.py:NoVectors", "it is there, whole", "not empty"),
        ("suite=./suites.py:Plain", "it is there, whole", "x-plain: it hides the plaintext: the plaintext can be read"),
        ("suite=./suites.py:OnePad", "it is there, whole", "x-one-pad: it hides the plaintext: equal plaintexts"),
        ("suite=./suites.py:Forgeable", "it is there, whole", "though another seal was sealed"),
        ("suite=./suites.py:Longer", "it is there, whole", "a seal of 17 octets is 35 octets, and not 16 longer"),
        ("suite=./suites.py:Counting", "it is there, whole", "asked again it answers something else"),
        ("suite=./suites.py:Ends", "it is there, whole", "its process ended"),
        ("suite=./suites.py:Raises", "it is there, whole", "OverflowError"),
        ("suite=./suites.py:OursByName", "it is there, whole", "the name of a suite begins with x-"),
        ("suite=./suites.py:OpensNothing", "it is there, whole", "there is no method open"),
        ("qkd=./sections.py:TwoEnded", "everything that it says can be", "ends: "),
        ("qkd=./sections.py:Greedy", "everything that it says can be", "too-much: "),
        ("qkd=./sections.py:Boaster", "everything that it says can be", "forecast: "),
        ("qkd=./sections.py:Negative", "everything that it says can be", "forecast: "),
        ("qkd=./sections.py:NotANumber", "everything that it says can be", "finite"),
        ("qkd=./sections.py:WrongType", "everything that it says can be", "malformed: "),
        ("qkd=./sections.py:Repeats", "everything that it says can be", "repeated: "),
        ("qkd=./sections.py:Miscounts", "everything that it says can be", "sample: "),
        ("qkd=./sections.py:Mutator", "everything that it says can be", "changed what it was given"),
        ("qkd=./sections.py:Crasher", "everything that it says can be", "crashed: "),
        ("qkd=./sections.py:Discreet", "a quiet line gives key", "0 bits"),
        ("qkd=./sections.py:Noisy", "a quiet line gives key", "0 bits"),
        ("qkd=./sections.py:Lazy", "it keeps up half of its forecast", "10 %"),
        ("qkd=./sections.py:Blind", "a line whose every pulse is intercepted gives none", "bits"),
        ("qkd=./half.py:Half", "it is there, whole", "out of luck"),
        ("metric=./scenario_parts.py:NotANumber", "a finite figure whatever was measured", "finite"),
        ("metric=./scenario_parts.py:Moody", "the same figure for the same samples", "then"),
    ],
)
def test_what_harms_is_told_with_what_it_does(text, fails, says):
    report = check_extension(parse_use(text, BAD), deadline_s=10.0)
    assert not report.ok
    failed = {check.name: check.detail for check in report.checks if not check.ok}
    assert says in failed[fails]


@pytest.mark.parametrize(
    "text",
    [
        "source=./sources.py:Curve",
        "source=./sources.py:Translated",
        "qkd=./sections.py:Steady",
        "fault=./scenario_parts.py:TwoCuts",
        "step=./scenario_parts.py:Looks",
    ],
)
def test_parts_that_do_what_they_must_pass(text):
    assert check_extension(parse_use(text, BAD), deadline_s=10.0).ok


def test_the_sloth_is_late():
    report = check_extension(parse_use("healing=./quacks.py:Sleeps", BAD), deadline_s=0.05)
    assert "no answer within 0.05 s" in report.checks[-1].detail


def test_the_builtin_costs_nothing_more_than_itself():
    figures, _, identity = compare(parse_use("pce=builtin", REPOSITORY), instances=15)
    assert figures["use.builtin.feasible_share"] == 1
    assert figures["use.builtin.equal_cost"] == figures["use.builtin.feasible"] == 15
    assert figures["use.builtin.cost_gap.latency_us.max"] == 0
    assert identity.name == "builtin"


def test_yen_is_honest_and_no_better_than_the_best():
    figures, _, _ = compare(parse_use("pce=yen", REPOSITORY), instances=25)
    assert figures["use.yen.refused"] == figures["use.yen.failed"] == 0
    assert 0.5 < figures["use.yen.feasible_share"] <= 1
    assert figures["use.yen.cost_gap.surplus_levels.mean"] >= 0


def test_a_liar_has_found_nothing():
    figures, notes, _ = compare(parse_use("pce=./liars.py:Looper", BAD), instances=5)
    assert figures["use.looper.refused"] == 5
    assert figures["use.looper.feasible_share"] == 0
    assert any("loop" in note for note in notes)


# --- the commands -------------------------------------------------------------------------------------------------


def test_the_list_has_who_is_shipped(capsys):
    assert main(["extension", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {f"{e['kind']}={e['name']}" for e in found} >= {"pce=yen", "healing=lazy", "fault=loss-delay"}
    assert all(len(e["sha256"]) == 64 and e["error"] is None for e in found)


def test_a_check_that_fails_is_exit_status_1_and_a_document(capsys, monkeypatch):
    monkeypatch.chdir(BAD)
    assert main(["extension", "check", "pce=./half.py:Half", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["checks"][0]["detail"].startswith("broken")


@pytest.mark.parametrize("text", ["", "pce", "pce=", "nothing=a:b", "pce=./none.py:A", "pce=nobody", "pce=yen=", "=:"])
def test_what_names_nothing_is_exit_status_2(capsys, text):
    assert main(["extension", "check", text]) == 2
    assert "extension check: KIND=TARGET" in capsys.readouterr().err


def test_a_bench_compares_only_path_computations(capsys):
    assert main(["bench", "paths", "--use", "healing=lazy"]) == 2
    assert "here pce can be extended" in capsys.readouterr().err
