"""Kill -9 at any moment under load: no key is given twice, none that a master got is lost for its slave."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract.kms.test_process import KmsProcess, kms_process
from tests.support.running_kms import KmsWorld
from tests.support.wait import PATIENCE

KILLS = int(os.environ.get("QSLICE_KMS_KILLS", "2"))  # a thousand are run by hand
WORKERS = 4
MASTER, SLAVE = "sae-cell1", "sae-core1"


@dataclass
class Seen:
    """What the clients know. Each worker appends to lists of its own keys, read when it has ended."""

    waiting: dict[str, str] = field(default_factory=dict)  # given to the master, never asked for by the slave
    doubtful: dict[str, str] = field(default_factory=dict)  # asked for, and no answer came
    fetched: set[str] = field(default_factory=set)


def connection(world: KmsWorld, site: str, tls: ssl.SSLContext) -> http.client.HTTPSConnection:
    host, _, port = world.urls[site].removeprefix("https://").rpartition(":")
    return http.client.HTTPSConnection(host, int(port), context=tls, timeout=10 * PATIENCE)


def ask(link: http.client.HTTPSConnection, path: str, body: object) -> dict[str, list[dict[str, str]]]:
    headers = {"Content-Type": "application/json"}
    link.request("POST", f"/api/v1/keys/{path}", json.dumps(body).encode(), headers)
    response = link.getresponse()
    answer: dict[str, list[dict[str, str]]] = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def work(world: KmsWorld, seen: Seen, number: int) -> None:
    """Order keys and fetch most of them, until the KMS is gone."""
    master = connection(world, "cell1", world.tls(MASTER))
    slave = connection(world, "core1", world.tls(SLAVE))
    request = {"number": number, "extension_mandatory": [{"key_source": "dh"}]}
    kept = 0
    try:
        while True:
            keys = {k["key_ID"]: k["key"] for k in ask(master, f"{SLAVE}/enc_keys", request)["keys"]}
            seen.waiting |= keys
            # Of a delivery, fetch all but one, so that what is left of it has to be right too.
            for key_id in list(keys)[kept % 2 :]:
                seen.doubtful[key_id] = seen.waiting.pop(key_id)
                (twin,) = ask(slave, f"{MASTER}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})["keys"]
                assert twin == {**twin, "key_ID": key_id, "key": seen.doubtful.pop(key_id)}
                seen.fetched.add(key_id)
            kept += 1
    except (OSError, http.client.HTTPException, ValueError):
        return
    finally:
        master.close()
        slave.close()


@pytest.mark.slow
def test_random_kills_under_load(tmp_path: Path) -> None:
    chance = random.Random(5)
    with kms_process(tmp_path) as kms:
        kms.world.credentials(MASTER, "cell1")
        kms.world.credentials(SLAVE, "core1")
        for _ in range(KILLS):
            seen = [Seen() for _ in range(WORKERS)]
            threads = [threading.Thread(target=work, args=(kms.world, each, 1 + n)) for n, each in enumerate(seen)]
            for thread in threads:
                thread.start()
            threading.Event().wait(0.1 + chance.random() * 0.4)
            kms.end(signal.SIGKILL)
            for thread in threads:
                thread.join()
            kms.start()
            for each in seen:
                check(kms, each)


def check(kms: KmsProcess, seen: Seen) -> None:
    world = kms.world
    link = connection(world, "core1", world.tls(SLAVE))
    try:
        for key_id, key in seen.waiting.items():
            (twin,) = ask(link, f"{MASTER}/dec_keys", {"key_IDs": [{"key_ID": key_id}]})["keys"]
            assert twin["key"] == key
    finally:
        link.close()
    for key_id, key in seen.doubtful.items():
        answer = world.dec("core1", SLAVE, MASTER, key_id)
        assert answer.status == 400 or answer.body["keys"][0]["key"] == key
    for key_id in list(seen.fetched)[-20:]:
        assert world.dec("core1", SLAVE, MASTER, key_id).status == 400
