"""``python -m tests.stress.kme_kills --kills 1000``: KMEs of one process each are killed at any step, under load.

Held to: a key that a master got is there for its slave; none is given twice; the ends never disagree. A key whose fetch
was under way when the slave's own KME died may be gone (at most once was chosen over at least once): it is counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from tests.stress.steps import STEPS
from tests.support.distributed_kms import LINE, DistributedKms, distributed_kms

SOURCES = ("dh", "qkd", "qra", "qkd+dh", "qra+dh")
PAIRS = (("cell1", "core1"), ("core1", "cell1"), ("metro1", "cell1"), ("cell1", "metro1"))
CHECKED_AGAIN = 10  # of the fetched keys, after each kill: none is given a second time


@dataclass
class Worker:
    """A master and a slave that order and fetch keys, until told to stop; what they know of each key."""

    kms: DistributedKms
    master: str
    slave: str
    chance: random.Random
    seen: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)  # given to the master, not asked for by the slave
    doubtful: dict[str, str] = field(default_factory=dict)  # asked for, and no answer came
    fetched: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    links: dict[str, http.client.HTTPSConnection] = field(default_factory=dict)
    tls: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            source = self.chance.choice(SOURCES)
            number = self.chance.choice((1, 1, 2, 5))
            try:
                self.order(source, number)
                self.fetch_some()
            except (OSError, http.client.HTTPException, ValueError):
                self.disconnect()
                stop.wait(0.002)

    def order(self, source: str, number: int) -> None:
        size = self.chance.choice((256, 256, 512))
        body = {"number": number, "size": size, "extension_mandatory": [{"key_source": source}]}
        status, answer = self.ask(self.master, f"sae-{self.slave}/enc_keys", body)
        if status == 200:
            for entry in answer["keys"]:
                if entry["key_ID"] in self.seen:
                    self.faults.append(f"key {entry['key_ID']} was given to the master twice")
                self.seen[entry["key_ID"]] = entry["key"]
                self.waiting[entry["key_ID"]] = entry["key"]
        elif status != 503:
            self.faults.append(f"enc_keys answered {status}: {answer}")

    def fetch_some(self) -> None:
        for key_id in list(self.waiting)[:6]:
            if self.chance.random() < 0.7:
                self.fetch(key_id)

    def fetch(self, key_id: str) -> None:
        key = self.waiting.pop(key_id)
        self.doubtful[key_id] = key
        status, answer = self.ask(self.slave, f"sae-{self.master}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})
        del self.doubtful[key_id]
        if status == 200:
            if answer["keys"][0]["key"] != key:
                self.faults.append(f"the ends of key {key_id} disagree")
            self.fetched[key_id] = key
        elif status == 503:
            self.waiting[key_id] = key
        else:
            self.faults.append(f"key {key_id} was given to the master and is lost: {status} {answer}")

    def settle(self) -> int:
        """With every KME up: each key that waits is there, and none that was fetched; how many in doubt are gone."""
        gone = 0
        for key_id in list(self.waiting):
            self.fetch(key_id)
        for key_id, key in self.doubtful.items():
            status, answer = self.ask(self.slave, f"sae-{self.master}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})
            if status == 200 and answer["keys"][0]["key"] != key:
                self.faults.append(f"the ends of key {key_id} disagree")
            gone += status != 200
        for key_id in list(self.fetched)[-CHECKED_AGAIN:]:
            status, answer = self.ask(self.slave, f"sae-{self.master}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})
            if status != 400:
                self.faults.append(f"key {key_id} was given twice: {status}")
        if len(set(self.seen.values())) != len(self.seen):
            self.faults.append("two keys are the same")
        self.doubtful.clear()
        return gone

    def ask(self, site: str, path: str, body: object) -> tuple[int, dict[str, list[dict[str, str]]]]:
        link = self.links.get(site)
        if link is None:
            sae = f"sae-{site}"
            if site not in self.tls:
                self.tls[site] = self.kms.world.tls(sae)
            host, _, port = self.kms.world.urls[site].removeprefix("https://").rpartition(":")
            link = self.links[site] = http.client.HTTPSConnection(host, int(port), context=self.tls[site], timeout=15)
        text = json.dumps(body).encode()
        link.request("POST", f"/api/v1/keys/{path}", text, {"Content-Type": "application/json"})
        response = link.getresponse()
        return response.status, json.loads(response.read())

    def disconnect(self) -> None:
        for link in self.links.values():
            link.close()
        self.links.clear()


@dataclass
class Outcome:
    kills: int = 0
    keys: int = 0
    fetched: int = 0
    gone_in_doubt: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(directory: Path, kills: int, seed: int, tell: bool = False) -> Outcome:
    """``kills`` kills, by turns at a random moment and at a random step; stops at the first fault."""
    chance = random.Random(seed)
    outcome = Outcome()
    with distributed_kms(directory) as kms:
        for site in LINE:
            kms.world.credentials(f"sae-{site}", site)
            kms.kill(site)
            kms.start(site, _fate(chance))
        for site in LINE:
            kms.wait_started(site)
        begun = time.monotonic()
        workers = [Worker(kms, m, s, random.Random(f"{seed} {m} {s}")) for m, s in PAIRS]
        while outcome.kills < kills and not outcome.faults:
            before = outcome.kills // 50
            _kill_once(kms, workers, chance, outcome)
            if tell and outcome.kills // 50 > before:
                print(f"{outcome.kills} kills, {outcome.keys} keys, {time.monotonic() - begun:.0f} s", flush=True)
        outcome.seconds = time.monotonic() - begun
        for worker in workers:
            worker.disconnect()
    return outcome


def _fate(chance: random.Random) -> tuple[str, int]:
    return chance.choice(tuple(STEPS)), chance.randint(1, 12)


def _kill_once(kms: DistributedKms, workers: list[Worker], chance: random.Random, outcome: Outcome) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    # Each KME was started with its fate; where none comes to its step soon, one is killed wherever it is.
    sentinels = {kms.processes[site].sentinel: site for site in LINE}
    dead = [sentinels[each] for each in wait(list(sentinels), 0.05 + chance.random() * 0.3) if isinstance(each, int)]
    if not dead:
        dead = [chance.choice(LINE)]
        outcome.steps["at a random moment"] += 1
    else:
        outcome.steps.update(kms.fates.get(site, ("?", 0))[0] for site in dead)
    for site in dead:
        kms.kill(site)
    stop.set()
    for thread in threads:
        thread.join()
    # Some die while the load ends.
    late = [site for site in LINE if site not in dead and not kms.processes[site].is_alive()]
    outcome.steps.update(kms.fates.get(site, ("?", 0))[0] for site in late)
    for site in (*dead, *late):
        kms.kill(site)
        kms.start(site, _fate(chance))
        outcome.kills += 1
    for site in (*dead, *late):
        kms.wait_started(site)
    for worker in workers:
        worker.disconnect()
        try:
            outcome.gone_in_doubt += worker.settle()
        except (OSError, http.client.HTTPException):
            continue  # a KME came to its step while this was asked: after its restart it is asked again
        outcome.faults += worker.faults
        outcome.keys += len(worker.seen)
        outcome.fetched += len(worker.fetched)
        worker.seen.clear()
        worker.fetched.clear()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory), options.kills, options.seed, tell=True)
    print(
        f"{outcome.kills} kills in {outcome.seconds:.0f} s; {outcome.keys} keys given to masters, "
        f"{outcome.fetched} fetched, {outcome.gone_in_doubt} gone whose answer was under way; "
        f"faults: {len(outcome.faults)}"
    )
    for step, count in sorted(outcome.steps.items()):
        print(f"  {count:5d}  {step}")
    for fault in outcome.faults[:20]:
        print(f"FAULT {fault}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
