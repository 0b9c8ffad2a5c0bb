"""`test --vm` without a guest: where packages come from, what is sent, how QEMU is called, what a result says."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.checks import check
from scripts.cli.grammar.parser import build_parser
from scripts.console.progress import Progress
from scripts.errors import EnvironmentLacks
from scripts.setup.capabilities import Outcome, Run
from scripts.testbed.paths import REPOSITORY
from scripts.vm import qemu
from scripts.vm import run as vm_run
from scripts.vm.guest import (
    EXPECTED,
    MOST_SLOWNESS,
    as_user,
    limits_factor,
    measure_slowness,
    missing_capabilities,
    provisioned,
    scale_command,
    typed,
)  # fmt: skip
from scripts.vm.host_settings import PLACE_OF_FILES, builder_environment, pip_variables, read_host_settings
from scripts.vm.image import Image
from scripts.vm.report import Proof, as_text, read_results
from scripts.vm.tree import INGREDIENTS, image_key, pack

ROOT = REPOSITORY

TARGETS = """http://mirror.example/debian|bookworm|main|Packages
http://mirror.example/debian|bookworm|main|Sources
http://mirror.example/debian|bookworm|contrib|Packages
http://mirror.example/security|bookworm-security|main|Packages
https://elsewhere.example/apt|nodistro|main|Packages
"""
APT = """Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::Retries "3";
Acquire::GzipIndexes "true";
DPkg::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";
"""


def a_machine(targets: str = TARGETS, pip: str = "") -> Run:
    answers = {"apt-get": targets, "apt-config": APT, "/usr/bin/python3": pip}

    def run(argv: Sequence[str]) -> Outcome:
        return Outcome(0, answers[argv[0]])

    return run


def test_packages_come_from_where_this_machine_has_them() -> None:
    settings = read_host_settings({"PIP_INDEX_URL": "https://pypi.example/simple", "EDITOR": "ed"}, a_machine())
    assert settings.mirror == "http://mirror.example/debian"
    assert settings.sources == (
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/security bookworm-security main",
    )
    assert settings.apt_options == (
        'Acquire::http "";',
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Retries "3";',
    )
    environment = builder_environment(settings)
    assert environment["http_proxy"] == "http://proxy.example:3128"
    assert environment["PIP_INDEX_URL"] == "https://pypi.example/simple"
    assert "EDITOR" not in environment


def test_without_a_debian_12_mirror_that_is_said() -> None:
    with pytest.raises(EnvironmentLacks, match="bookworm"):
        read_host_settings({}, a_machine("http://archive.example/ubuntu|noble|main|Packages\n"))


def test_pips_files_become_variables_and_local_directories_are_seen(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    listing = (
        f"global.extra-index-url='file://{tmp_path}/index/simple https://b.example/simple'\n:env:.cert='/ca.pem'\n"
        "global.timeout='60'\n"
    )
    settings = read_host_settings({}, a_machine(pip=listing))
    assert settings.environment["PIP_TIMEOUT"] == "60"
    assert settings.environment["PIP_EXTRA_INDEX_URL"].endswith(" https://b.example/simple")
    assert settings.directories == (tmp_path / "index",)
    assert pip_variables("nonsense\n") == {}


def test_the_guest_gets_the_checkout_without_what_machines_make(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    for name in ("kms/esp.py", ".venv/bin/python", ".state/token", "results/x", ".git/HEAD", "kms/__pycache__/esp.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    pack(root, tmp_path / "tree.tar", {"demo": True})
    with tarfile.open(tmp_path / "tree.tar") as tar:
        files = {entry.name.removeprefix("./") for entry in tar if entry.isfile()}
        job = tar.extractfile(".state/vm-job.json")
        assert job is not None
        assert json.load(job) == {"demo": True}
    assert files == {"kms/esp.py", ".state/vm-job.json"}


def test_another_package_means_another_image(tmp_path: Path) -> None:
    for name in INGREDIENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    assert image_key(tmp_path) == image_key(ROOT)
    with (tmp_path / "constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    assert image_key(tmp_path) != image_key(ROOT)


def test_qemu_has_no_network_and_writes_nothing_to_the_image(tmp_path: Path) -> None:
    guest = qemu.Guest(Image.at(tmp_path / "a,b"), tmp_path / "tree", tmp_path / "results", tmp_path / "console")
    for accelerator in ("kvm", "tcg"):
        argv = qemu.command(guest, accelerator)
        assert argv[argv.index("-nic") + 1] == "none"
        assert f"if=none,id=qslice-root,file={tmp_path}/a,,b/root.img,format=raw,snapshot=on" in argv
        assert argv[:3] == ["setpriv", "--pdeathsig", "KILL"]
        assert ("tsc=reliable no_timer_check" in argv[argv.index("-append") + 1]) == (accelerator == "tcg")


def test_a_missing_qemu_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "QEMU", "qemu-system-none")
    guest = qemu.Guest(Image.at(tmp_path), tmp_path / "tree", tmp_path / "results", tmp_path / "console")
    with pytest.raises(EnvironmentLacks, match="apt-get install qemu-system-x86"):
        qemu.run_guest(guest, "tcg", lambda message: None)


@pytest.mark.parametrize(("program", "what"), [("exit 7", "status 7: broken"), ("sleep 600", "has not come up")])
def test_a_guest_that_does_not_live_is_told_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, what: str
) -> None:
    script = tmp_path / "qemu"
    script.write_text(f"#!/bin/sh\necho broken >&2\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(qemu, "QEMU", str(script))
    monkeypatch.setitem(qemu.LIFE_LIMIT_S, "tcg", 0.0)
    guest = qemu.Guest(Image.at(tmp_path), tmp_path / "tree", tmp_path / "results", tmp_path / "console")
    with pytest.raises(qemu.BootFailed, match=what):
        qemu.run_guest(guest, "tcg", lambda message: None)


JUNIT = """<testsuites><testsuite><testcase name="test_a" time="1.5"><properties><property name="proves"
value="A holds"/></properties></testcase><testcase name="test_b_c" time="2"><failure message="assert 1 == 2&#10;more"/>
</testcase></testsuite></testsuites>"""


def test_the_report_says_what_was_proved(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/report.json").write_text(json.dumps({"slowness": 10.0, "checks": [{"name": "x", "ok": True}]}))
    (tmp_path / "junit.xml").write_text(JUNIT)
    steps = [
        {"step": "boot", "status": 0, "seconds": 17.0},
        {"step": "set-up", "status": 0, "seconds": 20.0},
        {"step": "capabilities", "status": 0, "seconds": 3.0, "missing": []},
        {"step": "tests", "status": 1, "seconds": 60.0},
        {"step": "demo", "status": 0, "seconds": 90.0, "typed": ["sudo qslice demo"]},
    ]
    (tmp_path / "steps.json").write_text(json.dumps({"kernel": "6.1.0", "steps": steps}))
    report = read_results(tmp_path, "tcg", {"total": 200.0})
    outcomes = {proof.what: proof.outcome for proof in report.proofs}
    assert outcomes["A holds"] == "passed"
    assert outcomes["b c"] == "failed"
    assert any(what.startswith("`sudo qslice demo`, as README has it typed") for what in outcomes)
    assert not report.ok
    assert [proof.detail for proof in report.proofs if proof.what == "b c"] == ["assert 1 == 2"]
    text = as_text(report)
    assert (
        "4 of 5 held; image from the cache, boot 17 s, set-up 20 s, doctor 3 s, tests 60 s, demo 90 s; 200 s in" in text
    )
    made = as_text(read_results(tmp_path, "tcg", {"image": 150.0, "total": 350.0}))
    assert "image made from nothing 150 s, boot 17 s" in made
    assert "1 of 1 checks (loads and limits of time for processors 10 times as slow as real ones)" in text
    assert report.to_dict()["ok"] is False


def test_a_machine_is_never_taken_for_endlessly_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < measure_slowness(1) <= MOST_SLOWNESS
    times = iter([0.0, 1000.0])
    monkeypatch.setattr("scripts.vm.guest.time.monotonic", lambda: next(times))
    assert measure_slowness(0 + 1) == MOST_SLOWNESS


def test_a_guest_that_left_nothing_has_proved_nothing(tmp_path: Path) -> None:
    assert not read_results(tmp_path, "tcg", {}).ok


def test_a_guest_without_its_kernels_features_is_told(tmp_path: Path) -> None:
    doctor = tmp_path / "doctor.json"
    doctor.write_text(json.dumps({"capabilities": [{"id": name, "present": name != "netem"} for name in EXPECTED]}))
    assert missing_capabilities(doctor) == ["netem"]
    assert missing_capabilities(tmp_path / "none") == list(EXPECTED)


def test_the_option_is_taken_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[str]] = []

    def main(argv: Sequence[str]) -> int:
        seen.append(argv)
        return 0

    monkeypatch.setattr(vm_run, "main", main)
    assert check.main(["-k", "esp", "--vm", "--json"]) == 0
    assert seen == [["-k", "esp", "--json"]]


def test_fault_34_files_that_pips_settings_name_are_there_for_the_guest(tmp_path: Path) -> None:
    """A constraint (with what it includes), a certificate: by paths of this machine the guest's pip found none."""
    for name in ("pins/constraints.txt", "pins/more.txt", "keys/ca.pem"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("-c more.txt\n")
    environment = {
        "PIP_CONSTRAINT": f"{tmp_path}/pins/constraints.txt https://example.com/c.txt",
        "PIP_CONFIG_FILE": f"{tmp_path}/keys/ca.pem",
    }
    settings = read_host_settings(environment, a_machine(pip=f"global.cert='{tmp_path}/keys/ca.pem'\n"))
    assert settings.file_directories == (tmp_path / "pins", tmp_path / "keys")
    assert settings.environment["PIP_CONSTRAINT"] == f"{PLACE_OF_FILES}/0/constraints.txt https://example.com/c.txt"
    assert settings.environment["PIP_CERT"] == f"{PLACE_OF_FILES}/1/ca.pem"
    assert "PIP_CONFIG_FILE" not in settings.environment


def scaled(tmp_path: Path, status: int, document: str) -> Proof:
    (tmp_path / "scale.json").write_text(document)
    steps = [{"step": "scale", "status": status, "seconds": 70.0}]
    (tmp_path / "steps.json").write_text(json.dumps({"kernel": "6.1", "steps": steps}))
    (proof,) = read_results(tmp_path, "kvm", {}).proofs
    return proof


def test_how_many_sites_the_guest_holds_is_told_with_its_figures(tmp_path: Path) -> None:
    named = {
        "channels": 384,
        "up_s": 9.04,
        "memory_mb": 988.4,
        "machine_mb": 1210.3,
        "set_up_ms.p50": 80.2,
        "down_s": 2.5,
    }
    figures = {f"sites_{n}.{name}": value for n in (5, 48) for name, value in named.items()}
    proof = scaled(tmp_path, 0, json.dumps({"figures": figures}))
    assert proof.outcome == "passed"
    told = "48 sites: up in 9.0 s, 988 MB (of the guest's 1210 MB), a slice in 80 ms (p50), down in 2.5 s, nothing left"
    assert proof.detail.splitlines()[1] == told
    assert scaled(tmp_path, 1, json.dumps({"figures": figures})).outcome == "failed"
    assert scaled(tmp_path, 0, json.dumps({"figures": {}})).outcome == "failed"
    assert scaled(tmp_path, 1, "").detail == "exit status 1, no figures"


def test_networks_of_many_sites_are_measured_with_waits_for_processors_that_are_computed(tmp_path: Path) -> None:
    real = scale_command("qslice", tmp_path / "scale.json", [5, 48], 1.0)
    assert real[-6:] == ["bench", "scale", "--json", "--sites", "5", "48"]
    computed = scale_command("qslice", tmp_path / "scale.json", [48], 18.04)
    assert computed[-5:] == ["48", "--runs", "8", "--slowness", "18.0"]
    arguments = build_parser().parse_args(computed[computed.index("bench") :])
    assert (arguments.sites, arguments.slowness, arguments.runs) == ([48], 18.0, 8)


def test_real_processors_keep_the_limits_of_time() -> None:
    assert limits_factor({"slowness": 1}, 30.0)[1] == 1.0
    assert limits_factor({"slowness": 10}, 30.0)[1] >= 30.0


@pytest.mark.parametrize(("accelerator", "asked", "sites"), [
    ("kvm", [], [5, 48]), ("tcg", [], []), ("tcg", ["--sites", "48"], [48]), ("kvm", ["--sites"], []),
])  # fmt: skip
def test_which_networks_the_guest_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str, asked: list[str], sites: list[int]
) -> None:
    jobs: list[dict[str, Any]] = []
    monkeypatch.setattr(vm_run, "pack", lambda _root, _archive, job: jobs.append(job))
    monkeypatch.setattr(vm_run, "run_guest", lambda *_: None)
    options, rest = vm_run.parser().parse_known_args(["--accel", accelerator, "--out", str(tmp_path), *asked])
    image = Image.at(tmp_path)
    with Progress("test") as progress:
        assert vm_run._run_guest(options, rest, image, tmp_path, progress) == accelerator
    assert jobs[0]["sites"] == sites


def test_the_guest_is_provisioned_and_typed_to_as_the_vagrantfile_and_readme_say() -> None:
    lines = provisioned((REPOSITORY / "Vagrantfile").read_text(encoding="utf-8"))
    assert lines == ["ln -sfn /vagrant/scripts/qslice /usr/local/bin/qslice", "qslice setup"]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert typed(readme) == ["sudo qslice demo"]
    assert typed(readme.replace("vagrant ssh\n", "vagrant ssh -c x\n")) == []
    assert as_user(["sudo qslice demo", "true"]) == ["su", "-", "vagrant", "-c", "sudo qslice demo && true"]
    assert "useradd --create-home --shell /bin/bash vagrant" in (REPOSITORY / "scripts/vm/build_root.sh").read_text()
