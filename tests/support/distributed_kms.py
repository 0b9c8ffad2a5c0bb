"""A KMS of one process per site, on 127.0.0.1: forked from a server that has imported everything, so a start is quick.

The quantum sections are filled at once with random bits, equal at both ends: their physics is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import multiprocessing
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from kms import __main__ as kms_main
from kms.config import KmsConfig, parse_config
from kms.delivery import key_delivery
from kms.pki import authority
from kms.sources.qkd.link.attacks import Attack
from kms.sources.qkd.protocol import DistilledBlock
from kms.sources.qkd.section import Distiller, SliceOfWork
from tests.support.filled_sections import CLEAN, TAPPED
from tests.support.one_time_keys import Recorder, install
from tests.support.running_kms import Answer, KmsWorld, ask_admin
from tests.support.wait import wait_until

# cell1 - tn1 - metro1 - core1 in a row, and a way round from cell1 to core1 over tn2.
LINE = ("cell1", "tn1", "metro1", "core1")
SITES = (*LINE, "tn2")
SECTIONS = {
    "s1": ("cell1", "tn1"), "s2": ("tn1", "metro1"), "s3": ("metro1", "core1"),
    "r1": ("cell1", "tn2"), "r2": ("tn2", "core1"),
}  # fmt: skip
LINKS = (
    {"id": "west", "a": "cell1", "b": "metro1", "sections": ["s1", "s2"]},
    {"id": "east", "a": "metro1", "b": "core1", "sections": ["s3"]},
)
ROUND = ({"id": "round", "a": "cell1", "b": "core1", "sections": ["r1", "r2"]},)
BLOCK_BYTES = 4_096


class PortPool:
    """Ports below those that the system gives to clients: a restarted KME finds its own free."""

    def __init__(self) -> None:
        self._next = 10_000 + os.getpid() * 37 % 15_000

    def take(self) -> int:
        while True:
            self._next += 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self._next))
                except OSError:
                    continue
                return self._next


def distributed_config(directory: Path, sites: tuple[str, ...], **overrides: Any) -> dict[str, Any]:
    ports = PortPool()
    links = LINKS + (ROUND if "tn2" in sites else ())
    used = {name for link in links for name in link["sections"]}
    return {
        "state_dir": str(directory / "state"), "pki_dir": str(directory / "pki"),
        "admin_socket": str(directory / "run" / "kms.sock"),
        "sites": [
            {
                "site": site, "kme_id": f"kme-{site}", "host": "127.0.0.1", "port": ports.take(),
                "peer_port": ports.take(), "sae_ids": [f"sae-{site}"],
            }
            for site in sites
        ],
        "sections": [{"id": n, "a": a, "b": b, "length_km": 5.0} for n, (a, b) in SECTIONS.items() if n in used],
        "qkd_links": list(links),
        "limits": {"pool_target": 4},
        "qra_kem": "sntrup761",  # looking for liboqs takes longer than all the rest of a start
        **overrides,
    }  # fmt: skip


def instant_work(self: Distiller, rounds: int, attack: Attack, keep: bool) -> SliceOfWork:
    if attack.fraction:
        return SliceOfWork((TAPPED,), (), rounds * self.round_pulses)
    bits = os.urandom(BLOCK_BYTES)
    blocks = (DistilledBlock(bits, bits, 0, 0, 0),) if keep else ()
    return SliceOfWork((CLEAN,), blocks, rounds * self.round_pulses)


def run_site(config_path: str, site: str, log_path: str, kill_at: tuple[str, int] | None) -> None:
    """In the child: the KME of ``site``; with ``kill_at`` it kills itself at that step (:mod:`tests.stress.steps`)."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {site} %(levelname)s %(name)s: %(message)s")
    Distiller.work = instant_work  # type: ignore[method-assign]
    install(Recorder())
    if kill_at is not None:
        from tests.stress.steps import arm

        arm(*kill_at)
        # Whoever kills has no time to wait for sections that are being filled.
        key_delivery._ATTEMPTS = 4
    config = parse_config(Path(config_path).read_bytes())
    asyncio.run(kms_main._serve(config, site))


_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.distributed_kms", "kms.sources.kems", "pqcrypto.kem.sntrup_761"])


class DistributedKms:
    """The processes by site. ``world`` asks them as SAEs."""

    def __init__(self, directory: Path, sites: tuple[str, ...] = LINE, **overrides: Any) -> None:
        self.directory = directory
        self.raw = distributed_config(directory, sites, **overrides)
        self.path = directory / "kms.json"
        directory.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.raw))
        self.config: KmsConfig = parse_config(json.dumps(self.raw))
        self.log = directory / "kms.log"
        urls = {s.site: f"https://127.0.0.1:{s.port}" for s in self.config.sites}
        self.world = KmsWorld(directory, self.config, urls)
        self.processes: dict[str, ForkServerProcess] = {}
        self.fates: dict[str, tuple[str, int]] = {}

    def start(self, site: str, kill_at: tuple[str, int] | None = None) -> None:
        process = _CONTEXT.Process(
            target=run_site, args=(str(self.path), site, str(self.log), kill_at), daemon=True
        )  # fmt: skip
        process.start()
        if kill_at is not None:
            self.fates[site] = kill_at
        self.processes[site] = process

    def wait_ready(self, site: str) -> None:
        self.wait_started(site)
        assert self.processes[site].is_alive(), self.log.read_text()[-3_000:]

    def wait_started(self, site: str) -> None:
        """Until it is ready, or dead already."""
        wait_until(lambda: not self.processes[site].is_alive() or self.is_ready(site), 20, 0.005)

    def is_ready(self, site: str) -> bool:
        try:
            return self.admin(site, "GET", "/v1/status").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def admin(self, site: str, verb: str, path: str, body: Any = None) -> Answer:
        return ask_admin(self.directory / "run" / f"kms-{site}.sock", verb, path, body)

    def kill(self, site: str) -> None:
        process = self.processes[site]
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join(10)

    def close(self) -> None:
        for site in self.processes:
            self.kill(site)

    def peer_tls(self, site: str) -> ssl.SSLContext:
        """What a KME shows the others."""
        directory = self.directory / "pki" / "kme" / site / "peer"
        tls = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        return tls

    def available_bits(self, site: str) -> dict[str, int]:
        return {s["id"]: s["available_bits"] for s in self.admin(site, "GET", "/v1/keys").body["sections"]}


@contextmanager
def distributed_kms(directory: Path, sites: tuple[str, ...] = LINE, **overrides: Any) -> Iterator[DistributedKms]:
    """All the processes, ready to serve."""
    kms = DistributedKms(directory, sites, **overrides)
    authority.ensure_ca(kms.config.pki_dir)
    try:
        for site in sites:
            kms.start(site)
        for site in sites:
            kms.wait_ready(site)
        yield kms
    finally:
        kms.close()
