"""The tunnel benchmark's figures, and what it says when a peer cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bench.tunnel import peers
from scripts.bench.tunnel.run import Results
from scripts.cli.main import prepared
from scripts.errors import EnvironmentLacks


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_figures_are_medians_with_their_range() -> None:
    results = Results()
    for value in (3.0, 1.0, 2.0):
        results.add("veth.1500.tcp.ours_gbps", value)
    results.totals["rekey_100ms.lost_packets"] = 0
    assert results.figures() == {
        "veth.1500.tcp.ours_gbps": 2.0, "veth.1500.tcp.ours_gbps.min": 1.0, "veth.1500.tcp.ours_gbps.max": 3.0,
        "rekey_100ms.lost_packets": 0,
    }  # fmt: skip


def test_a_named_binary_tells_its_version(tmp_path: Path) -> None:
    assert peers.given(script(tmp_path / "wg", "echo wireguard-go v0.0.20250522")).version == "0.0.20250522"


@pytest.mark.parametrize("text", ["echo hello", "exit 1"])
def test_a_binary_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvironmentLacks, match="wg does not tell its version"):
        peers.given(script(tmp_path / "wg", text))
    with pytest.raises(EnvironmentLacks, match="missing does not run"):
        peers.given(tmp_path / "missing")


def test_without_a_network_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "apt-get", "echo 'E: Unable to locate package openvpn' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(EnvironmentLacks, match="Unable to locate package openvpn"):
        peers.fetch("openvpn", tmp_path / "peers")
    assert not (tmp_path / "peers" / "openvpn").exists()


def test_the_command_names_its_choices() -> None:
    arguments = prepared(["bench", "tunnel", "--wires", "veth", "--mtus", "1500", "--who", "ours"])
    assert (arguments.wires, arguments.mtus, arguments.who) == (["veth"], [1500], ["ours"])
