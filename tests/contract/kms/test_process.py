"""``python -m kms`` as a process: kill -9, restart, wrong configurations, and what its logs say."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kms.config import parse_config
from scripts.testbed.paths import REPOSITORY
from tests.support.running_kms import SITES, KmsWorld, ask_admin, kms_config
from tests.support.wait import PATIENCE, wait_until


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for each in sockets:
        each.close()
    return ports


class KmsProcess:
    """A configuration on disk and the process that runs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.raw = kms_config(directory)
        for site, port in zip(self.raw["sites"], free_ports(len(SITES)), strict=True):
            site["port"] = port
        self.log = directory / "kms.log"
        config = parse_config(json.dumps(self.raw))
        self.world = KmsWorld(directory, config, {s.site: f"https://127.0.0.1:{s.port}" for s in config.sites})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = spawn(self.directory, self.raw, self.log)
        wait_until(self.is_ready, 20)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return ask_admin(Path(self.raw["admin_socket"]), "GET", "/v1/status").status == 200
        except OSError:
            return False

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=10 * PATIENCE)


def spawn(directory: Path, raw: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    path = directory / "kms.json"
    path.write_text(json.dumps(raw))
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "kms", "--config", str(path), "--log-level", "DEBUG"],
            cwd=REPOSITORY, stdout=output, stderr=output,
        )  # fmt: skip


@contextmanager
def kms_process(directory: Path) -> Iterator[KmsProcess]:
    kms = KmsProcess(directory)
    kms.start()
    try:
        yield kms
    finally:
        assert kms.process is not None
        if kms.process.poll() is None:
            kms.end(signal.SIGKILL)


def fetch(world: KmsWorld, source: str, slave: str = "sae-core1", number: int = 1) -> list[tuple[str, str]]:
    answer = world.enc("cell1", "sae-cell1", slave, number=number, extension_mandatory=[{"key_source": source}])
    assert answer.status == 200, answer.body
    return [(entry["key_ID"], entry["key"]) for entry in answer.body["keys"]]


def test_kill_9_between_enc_keys_and_dec_keys(tmp_path: Path) -> None:
    with kms_process(tmp_path) as kms:
        world = kms.world
        world.credentials("sae-cell1", "cell1")
        world.credentials("roamer")
        world.credentials("never-seen")
        assert world.ask("core1", "roamer", "GET", "/sae-cell1/status").status == 200
        waiting = fetch(world, "qkd", number=3) + fetch(world, "qra") + fetch(world, "dh")
        roaming, unseen = fetch(world, "qra", "roamer"), fetch(world, "qkd", "never-seen")
        fetched = waiting.pop()
        assert world.dec("core1", "sae-core1", "sae-cell1", fetched[0]).status == 200
        kms.end(signal.SIGKILL)
        kms.start()

        # Each waiting key has its twin, once; the one that was fetched before is not given again.
        assert world.dec("core1", "sae-core1", "sae-cell1", fetched[0]).status == 400
        answer = world.dec("core1", "sae-core1", "sae-cell1", *(key_id for key_id, _ in waiting))
        assert [(e["key_ID"], e["key"]) for e in answer.body["keys"]] == waiting
        for sae, (key_id, key) in (("roamer", roaming[0]), ("never-seen", unseen[0])):
            answer = world.dec("core1", sae, "sae-cell1", key_id)
            assert answer.status == 200, answer.body
            assert answer.body["keys"][0]["key"] == key
        kms.end(signal.SIGKILL)
        kms.start()
        for key_id, _ in (*waiting, *roaming, *unseen):
            assert world.dec("core1", "sae-core1", "sae-cell1", key_id).status == 400


def test_no_key_in_logs_or_files_and_nothing_left_after_sigterm(tmp_path: Path) -> None:
    with kms_process(tmp_path) as kms:
        kms.world.credentials("sae-cell1", "cell1")
        keys = [key for source in ("dh", "qra", "qkd", "qkd+dh") for _, key in fetch(kms.world, source)]
        # Requests that go wrong are the ones that get logged.
        kms.world.dec("metro1", "sae-metro1", "sae-cell1", fetch(kms.world, "dh")[0][0])
        kms.world.enc("cell1", "sae-cell1", "sae-core1", size=7)
        assert kms.end(signal.SIGTERM) == 0
        assert not Path(kms.raw["admin_socket"]).exists()
        written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert b"KMS serves" in written
        for key in keys:
            plain = base64.b64decode(key)
            for form in (key.encode(), plain, plain.hex().encode(), repr(plain)[2:-1].encode()):
                assert form not in written


def test_a_second_kms_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with kms_process(tmp_path) as kms:
        log = tmp_path / "second.log"
        assert spawn(tmp_path, kms.raw, log).wait(timeout=20 * PATIENCE) == 1
        assert "another KMS is running" in log.read_text()
        assert kms.is_ready()


def test_a_port_that_is_taken_ends_the_start_cleanly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        kms = KmsProcess(tmp_path)
        kms.raw["sites"][1]["port"] = taken.getsockname()[1]
        assert spawn(tmp_path, kms.raw, kms.log).wait(timeout=20 * PATIENCE) == 1
    assert "address already in use" in kms.log.read_text()
    assert "Traceback" not in kms.log.read_text()
    assert not Path(kms.raw["admin_socket"]).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"surprise": 1}, "surprise"), ({"sections": [{"id": "s1", "a": "x", "b": "y", "length_km": -1.0}]}, "length_km")],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    log = tmp_path / "log"
    assert spawn(tmp_path, {**kms_config(tmp_path), **change}, log).wait(timeout=20 * PATIENCE) == 2
    assert message in log.read_text()
    assert "Traceback" not in log.read_text()
    assert set(os.listdir(tmp_path)) == {"log", "kms.json"}


def test_a_damaged_store_stops_the_start_with_a_message(tmp_path: Path) -> None:
    kms = KmsProcess(tmp_path)
    state = Path(kms.raw["state_dir"])
    state.mkdir()
    (state / "keys.sqlite").write_bytes(b"this is not a database" * 50)
    assert spawn(tmp_path, kms.raw, kms.log).wait(timeout=20 * PATIENCE) == 1
    assert "keys.sqlite" in kms.log.read_text()
    assert "Traceback" not in kms.log.read_text()
