"""``kme check``: it finds nothing against our KMEs, and each fault of a wrong one by name, without a second one."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kms.clients import conformance_client
from scripts.cli.main import main
from tests.support.running_kms import KmsWorld, running_kms
from tests.support.wrong_kme import FAULTS, WrongKme, credentials, serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vendor")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["kme", "check", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def asked_as(place: Path, url: str, *more: str) -> list[str]:
    master, slave = credentials(place, "alice"), credentials(place, "bob")
    return [
        url, "--cert", str(master / "cert.pem"), "--key", str(master / "key.pem"), "--ca", str(master / "ca.pem"),
        "--peer-cert", str(slave / "cert.pem"), "--peer-key", str(slave / "key.pem"), *more,
    ]  # fmt: skip


def ended(report: dict[str, Any], verdict: str) -> set[str]:
    return {check["name"] for check in report["checks"] if check["verdict"] == verdict}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsWorld]:
    with running_kms(tmp_path_factory.mktemp("kms")) as world:
        yield world


class TestOurs:
    @pytest.mark.parametrize("source", ["qkd", "dh"])
    def test_nothing_is_found_against_our_kmes(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
    ) -> None:
        with running_kms(tmp_path, default_key_source=source) as world:
            master, slave = world.credentials("sae-cell1", "cell1"), world.credentials("sae-core1", "core1")
            status, report = run(
                capsys, world.urls["cell1"], "--cert", str(master / "cert.pem"), "--key", str(master / "key.pem"),
                "--ca", str(master / "ca.pem"), "--peer-url", world.urls["core1"],
                "--peer-cert", str(slave / "cert.pem"), "--peer-key", str(slave / "key.pem"),
            )  # fmt: skip
        assert status == 0, report
        assert {check["verdict"] for check in report["checks"]} == {"holds"}, report
        assert all(check["clause"][0] in "56" for check in report["checks"])

    def test_without_the_slaves_certificate_its_side_is_not_asked(
        self, world: KmsWorld, capsys: pytest.CaptureFixture[str]
    ) -> None:
        own = world.credentials("alone")
        status, report = run(
            capsys, world.urls["cell1"] + "/api/v1/keys/", "--cert", str(own / "cert.pem"), "--key",
            str(own / "key.pem"), "--ca", str(own / "ca.pem"), "--sae", "sae-core1",
        )  # fmt: skip
        assert status == 0, report
        assert ended(report, "not asked") == {
            "twins", "twins-equal", "delivered-once", "unknown-key", "one-missing"
        }  # fmt: skip


class TestFaults:
    def test_the_right_one_has_none(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with serving(WrongKme(), place) as url:
            status, report = run(capsys, *asked_as(place, url))
        assert status == 0, report
        assert {check["verdict"] for check in report["checks"]} == {"holds"}

    @pytest.mark.parametrize("fault", FAULTS)
    def test_each_fault_is_found_by_name_and_no_other(
        self, place: Path, capsys: pytest.CaptureFixture[str], fault: str
    ) -> None:
        with serving(WrongKme(fault), place) as url:
            status, report = run(capsys, *asked_as(place, url))
        assert status == 1
        assert ended(report, "fails") == FAULTS[fault], report
        assert not report["ok"]

    def test_a_report_holds_no_key(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        kme = WrongKme("delivered twice")
        with serving(kme, place) as url:
            main(["kme", "check", *asked_as(place, url)])
        shown = capsys.readouterr()
        keys = [key for _, _, key in kme.held.values()]
        assert len(keys) >= 4
        for key in keys:
            assert key not in shown.out + shown.err
            assert base64.b64decode(key).hex() not in shown.out + shown.err


class TestHowItEnds:
    def test_a_slow_kme(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with serving(WrongKme(slow_s=30), place) as url:
            status, report = run(capsys, *asked_as(place, url, "--timeout", "0.3"))
        assert status == 1
        assert ended(report, "fails") == {"answers"}
        (late,) = (check for check in report["checks"] if check["name"] == "answers")
        assert late["detail"] == "status: no answer in time: nothing within 0.3 s"

    def test_a_certificate_with_another_name(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with serving(WrongKme(), place, name="kme.vendor.example") as url:
            status, report = run(capsys, *asked_as(place, url))
        assert status == 1
        assert ended(report, "fails") == {"reachable"}
        assert "the certificate bears another name" in report["checks"][0]["detail"]

    def test_a_certificate_of_another_authority(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        other = credentials(place / "other", "alice")
        with serving(WrongKme(), place) as url:
            status, report = run(
                capsys, url, "--cert", str(other / "cert.pem"), "--key", str(other / "key.pem"), "--ca",
                str(other / "ca.pem"), "--sae", "bob",
            )  # fmt: skip
        assert status == 1
        assert "not trusted" in report["checks"][0]["detail"]

    def test_a_dry_kme(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with serving(WrongKme(stock=0), place) as url:
            status, report = run(capsys, *asked_as(place, url))
        assert status == 1
        assert not ended(report, "fails")
        assert {"enc-default", "keys-differ", "twins-equal"} <= ended(report, "no answer")
        assert any(remark.startswith("no key was to be had (503) for enc-default") for remark in report["remarks"])

    def test_nobody_listens(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        status, report = run(capsys, *asked_as(place, f"https://127.0.0.1:{port}"))
        assert status == 1
        assert report["checks"][0]["detail"].startswith("no connection: ")

    def test_something_that_is_no_tls(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            status, report = run(
                capsys, *asked_as(place, f"https://127.0.0.1:{mute.getsockname()[1]}", "--timeout", "0.3")
            )  # fmt: skip
        assert status == 1
        assert "no answer in time" in report["checks"][0]["detail"]

    def test_an_answer_without_end(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conformance_client, "MAX_BODY_BYTES", 64)
        with serving(WrongKme(), place) as url:
            assert main(["kme", "check", *asked_as(place, url), "--json"]) == 1


class TestBadRequests:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["https://h"], "--cert: needed"),
            (["http://h", "--cert", "c", "--key", "k", "--ca", "a", "--sae", "s"], "URL: 'http://h' is no https"),
            (["https://h:x", "--cert", "c", "--key", "k", "--ca", "a", "--sae", "s"], "URL: "),
            (["https://h", "--cert", "c", "--key", "k", "--ca", "a"], "--sae: whom to order keys for"),
            (["https://h", "--cert", "c", "--key", "k", "--ca", "a", "--sae", "s"], "certificates: c"),
            (["https://h", "--cert", "c", "--key", "k", "--ca", "a", "--peer-cert", "p"], "go together"),
            (["https://h", "--timeout", "0"], "--timeout: 0"),
            (["https://h", "--timeout", "nan"], "--timeout: 'nan' is no number"),
        ],
    )
    def test_are_refused_with_the_field(self, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
        assert main(["kme", "check", *words, "--json"]) == 2
        assert said in json.loads(capsys.readouterr().out)["error"]
