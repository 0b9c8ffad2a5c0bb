"""What the machine can do, on machines of the test's making and on this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from scripts.cli.commands.installation import doctor as doctor_command
from scripts.cli.main import main
from scripts.setup import capabilities, doctor
from scripts.setup.capabilities import Capability, Finding, Outcome, Probe
from scripts.setup.doctor import Diagnosis
from tests.support.bare_machine import ROOT
from topologies.datapath import ovs_datapath


def kernel_without(*words: str) -> Callable[[Sequence[str]], Outcome]:
    """Commands succeed unless one of these words stands in them."""

    def run(argv: Sequence[str]) -> Outcome:
        lacking = [word for word in words if any(word in argument for argument in argv)]
        return Outcome(2, f"\n  Error: {lacking[0]} unknown.\nmore\n") if lacking else Outcome(0, "fine\n")

    return run


def probe(identity: str) -> Probe:
    return next(probe for probe in capabilities.PROBES if probe.id == identity)


@pytest.mark.parametrize(
    ("identity", "word"),
    [
        ("netem", "netem"),
        ("htb", "htb"),
        ("tbf", "tbf"),
        ("xfrm-esp", "rfc4106(gcm(aes))"),
        ("tun", "tuntap"),
        ("tun-offload", "vnet_hdr"),
        ("veth", "veth"),
        ("ipv6", "-6"),
        ("namespaces", "unshare"),
    ],
)
def test_kernel_feature_is_what_the_trial_says(identity: str, word: str) -> None:
    assert probe(identity).look(kernel_without("nothing at all")).is_present
    lacking = probe(identity).look(kernel_without(word))
    assert lacking == Finding(False, f"Error: {word} unknown.")


def test_tun_without_virtio_headers_is_still_tun() -> None:
    assert capabilities.has_tun(kernel_without("vnet_hdr"))
    assert not probe("tun-offload").look(kernel_without("vnet_hdr")).is_present


def test_every_kernel_trial_is_made_in_a_namespace_of_its_own() -> None:
    seen: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> Outcome:
        seen.append(argv)
        return Outcome(0, "")

    capabilities.survey(run=run)
    trials = [argv for argv in seen if not argv[0].startswith("ovs-")]
    assert len(trials) >= 8
    assert all(list(argv[:3]) == ["unshare", "--net", "--"] for argv in trials)


@pytest.mark.parametrize(("silent", "blamed"), [("ovs-vsctl", "ovsdb-server"), ("ovs-appctl", "ovs-vswitchd")])
def test_open_vswitch_runs_only_when_both_daemons_answer(silent: str, blamed: str) -> None:
    assert capabilities.has_openvswitch(kernel_without("nothing at all"))
    found = capabilities.openvswitch(kernel_without(silent))
    assert not found.is_present
    assert found.detail.startswith(blamed)


def test_liboqs_is_found_where_its_prefix_says(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    library = f"{tmp_path}/lib/liboqs.so.8"
    (ROOT / library).parent.mkdir()
    (ROOT / library).touch()
    monkeypatch.setenv("OQS_INSTALL_PATH", str(tmp_path))
    assert probe("liboqs").look(kernel_without()) == Finding(True, library)


def test_command_that_is_not_there_is_an_outcome() -> None:
    outcome = capabilities.run_command(["qslice-nosuch-command"])
    assert (outcome.status, outcome.is_success) == (127, False)
    assert "No such file" in outcome.reason


def test_silent_failure_still_has_a_reason() -> None:
    assert Outcome(4, " \n").reason == "exit status 4"


def capability(identity: str, *, is_present: bool, is_required: bool) -> Capability:
    return Capability(
        identity, f"the {identity}", is_present, is_required, "seen", "" if is_present else "something else"
    )


@pytest.mark.parametrize(
    ("is_present", "is_required", "is_enough"),
    [(True, True, True), (False, True, False), (False, False, True), (True, False, True)],
)
def test_only_what_is_required_decides(is_present: bool, is_required: bool, is_enough: bool) -> None:
    rows = [capability("root", is_present=True, is_required=True)]
    rows.append(capability("x", is_present=is_present, is_required=is_required))
    assert capabilities.is_sufficient(rows) is is_enough


def diagnosis(*rows: Capability) -> Diagnosis:
    return Diagnosis(rows, {"system": "Debian", "kernel": "6", "processors": 2, "memory_gb": 4.1}, {"ryu": "4.34"})


def test_table_says_what_is_done_instead() -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    rows = (
        capability("tun", is_present=False, is_required=True),
        capability("kernel-datapath", is_present=False, is_required=False),
        capability("veth", is_present=True, is_required=True),
    )
    doctor.show(diagnosis(*rows), console)
    text = console.export_text()
    lines = {line.split("(")[1].split(")")[0]: line.split() for line in text.splitlines() if line.startswith("the ")}
    assert (lines["tun"][3], lines["tun"][-2:]) == ("NO", ["something", "else"])
    assert lines["kernel-datapath"][3] == "no"
    assert (lines["veth"][3], lines["veth"][-1]) == ("yes", "seen")
    assert "netdev datapath" in text
    assert "cannot run here; missing: tun." in text


@pytest.mark.parametrize(("is_present", "datapath"), [(True, "system"), (False, "netdev")])
def test_json_names_the_datapath(is_present: bool, datapath: str) -> None:
    document = diagnosis(capability("kernel-datapath", is_present=is_present, is_required=False)).to_dict()
    assert document["datapath"] == datapath
    assert document["ok"] is True


def test_doctor_prints_one_json_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = diagnosis(capability("tun", is_present=False, is_required=True))
    monkeypatch.setattr(doctor_command, "examine", lambda: lacking)
    assert main(["doctor", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["capabilities"] == [
        {
            "id": "tun",
            "what": "the tun",
            "present": False,
            "required": True,
            "detail": "seen",
            "instead": "something else",
        }
    ]


def test_doctor_refuses_what_it_does_not_know() -> None:
    assert main(["doctor", "--nosuch"]) == 2


@pytest.mark.needs_root
@pytest.mark.needs_ovs
def test_this_machine_is_surveyed_and_left_as_it_was() -> None:
    def state() -> str:
        commands = (["ip", "-o", "link"], ["ip", "netns"], ["tc", "qdisc"], ["ovs-vsctl", "list-br"])
        # Other tests' machines come and go; the names that the trials use must never show.
        return "".join(capabilities.run_command(command).output for command in commands)

    rows = capabilities.survey()
    assert capabilities.is_sufficient(rows), [row for row in rows if row.is_required and not row.is_present]
    assert "probe0" not in state()
    assert "netem" not in state()
    chosen = next(row.is_present for row in rows if row.id == "kernel-datapath")
    assert ovs_datapath() == ("system" if chosen else "netdev")


@pytest.mark.needs_root
@pytest.mark.needs_ovs
def test_open_vswitch_takes_a_bridge_with_the_chosen_datapath() -> None:
    bridge = "qsprobe-br"
    run = capabilities.run_command
    kind = ovs_datapath()
    try:
        made = run(
            ["ovs-vsctl", "--timeout=10", "add-br", bridge, "--", "set", "Bridge", bridge, f"datapath_type={kind}"]
        )
        assert made.is_success, made.output
        error = run(["ovs-vsctl", "--timeout=10", "get", "Interface", bridge, "error"]).reason
        assert error == "[]"
        assert run(["ovs-ofctl", "show", bridge]).is_success
    finally:
        run(["ovs-vsctl", "--timeout=10", "--if-exists", "del-br", bridge])
