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
from pathlib import Path

from tests.fakes.distributed_kms import LINE, DistributedKms, distributed_kms
from tests.stress.steps import STEPS

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
        begun = time.monotonic()
        workers = [Worker(kms, m, s, random.Random(f"{seed} {m} {s}")) for m, s in PAIRS]
        while outcome.kills < kills and not outcome.faults:
            _kill_once(kms, workers, chance, outcome)
            if tell and outcome.kills % 50 == 0:
                print(f"{outcome.kills} kills, {outcome.keys} keys, {time.monotonic() - begun:.0f} s", flush=True)
        outcome.seconds = time.monotonic() - begun
        for worker in workers:
            worker.disconnect()
    return outcome


def _kill_once(kms: DistributedKms, workers: list[Worker], chance: random.Random, outcome: Outcome) -> None:
    victim = chance.choice(LINE)
    step = chance.choice([None, *STEPS])
    if step is not None:
        # To be killed at a step a KME has to know before: it is started with its fate.
        kms.kill(victim)
        kms.start(victim, (step, chance.randint(1, 12)))
        kms.wait_started(victim)
        for worker in workers:
            worker.disconnect()
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    if step is None:
        stop.wait(chance.random() * 0.15)
    else:
        kms.processes[victim].join(0.4)  # a victim that did not come to its step is killed where it is
    outcome.steps[step or "at a random moment"] += kms.processes[victim].exitcode is not None or step is None
    kms.kill(victim)
    stop.set()
    for thread in threads:
        thread.join()
    kms.start(victim)
    kms.wait_ready(victim)
    outcome.kills += 1
    for worker in workers:
        worker.disconnect()
        outcome.gone_in_doubt += worker.settle()
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
        f"{outcome.kills} kills in {outcome.seconds:.0f} s; {outcome.keys} keys given to masters, {outcome.fetched} fetched, "
        f"{outcome.gone_in_doubt} gone whose answer was under way; faults: {len(outcome.faults)}"
    )
    for step, count in sorted(outcome.steps.items()):
        print(f"  {count:5d}  {step}")
    for fault in outcome.faults[:20]:
        print(f"FAULT {fault}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
