"""``bench kms``: how fast the KMS delivers keys over mutual TLS, the load generator on the same machine.

Every figure is of keys that were fetched at both ends, at two KMEs, and found equal. The KMS is the process that
``python -m kms`` is, with its store on the disk: a key is recorded before it is given, here as anywhere.
"""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.pki import authority
from scripts.bench.common import load_note, percentile, report
from scripts.bench.kms.load import Fleet, Pair, Tally, Target
from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.measure.process_usage import cpu_s
from scripts.testbed.clients import KmsAdmin
from scripts.testbed.paths import REPOSITORY

CLIENTS = (1, 8, 64)
BATCH = 128
APPLICATIONS, PERIOD_S = 5_000, 3.0
APPLICATION_SAES = 64  # pairs of connections that the applications share, as applications of one host share its SAE
START_TIMEOUT_S = 30.0
NOTES = (
    "every key is fetched by its master at one KME and by its slave at another, and both are compared; a request is "
    "one enc_keys or one dec_keys, a key counts once however many ends got it",
    "latencies are the load generator's, from the moment a request was sent; in half_load and apps_5000 from the "
    "moment it was due, so that waiting for a slow server counts",
    "half_load offers half of single.requests_per_s; apps_5000 is 5,000 applications that rekey every 3 s for a "
    "minute, on 64 pairs of connections",
    "KMS and load generator share the machine's processors",
)


@dataclass(frozen=True)
class Effort:
    """How long each part takes, seconds."""

    seconds: float = 8.0
    apps_seconds: float = 60.0
    applications: int = APPLICATIONS
    source: str = "dh"
    clients: tuple[int, ...] = CLIENTS


class BenchKms:
    """A KMS process of two sites in a directory of its own, and SAEs at either."""

    def __init__(self, directory: Path, saes: int, source: str) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = KmsAdmin(directory / "run" / "kms.sock")
        ports = _free_ports(2)
        self._config = {
            "state_dir": str(directory / "state"),
            "pki_dir": str(directory / "pki"),
            "admin_socket": str(directory / "run" / "kms.sock"),
            "sites": [
                {"site": site, "kme_id": f"kme-{site}", "host": "127.0.0.1", "port": port}
                for site, port in zip(("a", "b"), ports, strict=True)
            ],
            "pairs": [{"a": "a", "b": "b", "key_source": source}],
            "default_key_source": source,
            "limits": {"max_key_count": 4096, "pool_target": 2048},
            "quota": {},  # a few SAEs ask for all that there is
        }
        authority.ensure_ca(directory / "pki")
        self.masters = [self._sae("a", ports[0], n) for n in range(saes)]
        self.slaves = [self._sae("b", ports[1], n) for n in range(saes)]

    def _sae(self, site: str, port: int, number: int) -> Target:
        name = f"sae-{site}-{number}"
        authority.issue_sae(self._directory / "pki", name, self._directory / "saes" / name, site)
        return Target("127.0.0.1", port, self._directory / "saes" / name, name)

    def start(self) -> None:
        path = self._directory / "kms.json"
        path.write_text(json.dumps(self._config))
        log = (self._directory / "kms.log").open("wb")
        command = [sys.executable, "-m", "kms", "--config", str(path), "--log-level", "WARNING"]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        latest = time.monotonic() + START_TIMEOUT_S
        while not self._admin.is_ready():
            if self._process.poll() is not None or time.monotonic() > latest:
                raise EnvironmentLacks(f"the KMS did not start: {(self._directory / 'kms.log').read_text()[-500:]}")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """Processor seconds that the KMS has used."""
        assert self._process is not None
        return cpu_s(self._process.pid)

    @property
    def algorithms(self) -> dict[str, Any]:
        return dict(self._admin.call("GET", "/v1/status")[1]["algorithms"])

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def bench_kms(saes: int, source: str) -> Iterator[BenchKms]:
    with tempfile.TemporaryDirectory(prefix="qslice-bench-") as directory:
        kms = BenchKms(Path(directory), saes, source)
        kms.start()
        try:
            yield kms
        finally:
            kms.stop()


def run(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """The report of all the modes."""
    notes = [*NOTES, f"key source: {effort.source}", load_note()]
    figures: dict[str, float] = {}
    failures: list[str] = []
    with bench_kms(max(*effort.clients, APPLICATION_SAES), effort.source) as kms:
        notes.append(f"algorithm: {kms.algorithms[effort.source.split('+')[0]]}")
        for mode, number in (("single", 1), ("batch", BATCH)):
            for clients in effort.clients:
                tally, cpu = _closed(kms, clients, number, effort)
                say(f"{mode}, {clients} clients: {tally.requests / tally.seconds:.0f} requests/s")
                figures |= _figures(f"{mode}.c{clients}", tally) | {f"{mode}.c{clients}.kms_cpu": cpu}
                failures += tally.failures
            headline = "requests_per_s" if mode == "single" else "keys_per_s"
            best = max(effort.clients, key=lambda clients: figures[f"{mode}.c{clients}.{headline}"])
            figures[f"{mode}.{headline}"] = figures[f"{mode}.c{best}.{headline}"]
        rate = figures["single.requests_per_s"] / 2
        # An exchange is two requests.
        tally = _open(kms, math.ceil(rate / 2), 1.0, effort.seconds, effort.source)
        say(f"half load, {rate:.0f} requests/s offered: p99 {percentile(tally.latencies_ms, 0.99):.2f} ms")
        figures |= _figures("half_load", tally) | {"half_load.offered_requests_per_s": rate}
        failures += tally.failures
        tally = _open(kms, effort.applications, PERIOD_S, effort.apps_seconds, effort.source)
        figures |= _figures(f"apps_{effort.applications}", tally)
        figures[f"apps_{effort.applications}.failures"] = len(tally.failures)
        say(f"{effort.applications} applications: {len(tally.failures)} failures")
        failures += tally.failures
    figures["failures"] = len(failures)
    notes += [f"failed {count} times: {what[:300]}" for what, count in Counter(failures).most_common(5)]
    return report("kms", figures, notes, ("aiohttp", "cryptography"))


def _closed(kms: BenchKms, clients: int, number: int, effort: Effort) -> tuple[Tally, float]:
    fleet = Fleet()
    try:
        pairs = [
            Pair(fleet, master, slave, number, effort.source)
            for master, slave in zip(kms.masters[:clients], kms.slaves[:clients], strict=True)
        ]
        before = kms.cpu_s()
        tally = fleet.closed_loop(pairs, effort.seconds)
        return tally, (kms.cpu_s() - before) / tally.seconds
    finally:
        fleet.close()


def _open(kms: BenchKms, applications: int, period_s: float, seconds: float, source: str) -> Tally:
    fleet = Fleet()
    try:
        saes = zip(kms.masters[:APPLICATION_SAES], kms.slaves[:APPLICATION_SAES], strict=True)
        pairs = [Pair(fleet, master, slave, 1, source) for master, slave in saes]
        return fleet.open_loop(pairs, applications, period_s, seconds)
    finally:
        fleet.close()


def _figures(prefix: str, tally: Tally) -> dict[str, float]:
    if not tally.requests:
        raise DidNotHold(f"{prefix}: no request succeeded: {tally.failures[:1]}")
    return {
        f"{prefix}.requests_per_s": tally.requests / tally.seconds,
        f"{prefix}.keys_per_s": tally.keys / tally.seconds,
        f"{prefix}.p50_ms": percentile(tally.latencies_ms, 0.5),
        f"{prefix}.p99_ms": percentile(tally.latencies_ms, 0.99),
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for each in sockets:
        each.close()
    return ports
