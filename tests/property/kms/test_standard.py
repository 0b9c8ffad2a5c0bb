"""A KME against a small model of ETSI GS QKD 014: any sequence of requests by two SAEs and a stranger.

All of the KME but TLS takes part: HTTP, parsing, pools, the key exchange, the store. Who asks is said by a header.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from kms.delivery.key_delivery import KeyService
from kms.delivery.key_transport import EmbeddedTransport
from kms.delivery.sae_registry import SaeRegistry
from kms.interfaces.etsi014 import Caller, Etsi014Server
from kms.keys.inventory import KeyInventory
from kms.keys.key import DH, Source
from kms.keys.ledger import Ledger
from kms.keys.limits import Limits
from kms.persistence.sqlite_store import Journal, KeyStore
from kms.pki import authority
from kms.pki.revocation import Revocations
from kms.sources.dh import DhSource
from tests.support.parties import parties

HOMES = {"alice": "a", "bob": "b", "eve": "b"}
SAES = st.sampled_from(sorted(HOMES))
LIMITS = Limits(
    max_key_count=4, pool_target=2, max_key_per_request=3, max_sae_id_count=1, max_awaiting_keys=40,
    awaiting_share_of_sae=0.5, awaiting_share_of_pair=0.25,
)  # fmt: skip
EXTENSIONS = st.sampled_from([None, {"key_source": "dh"}, {"x": 1}])
PARTIES = parties("ab", lambda: {Source.DH: DhSource()})
NOT_FOUND = "one or more keys specified are not found on KME"


class Owed:
    """The model of a key that was delivered."""

    def __init__(self, master: str, named: set[str], key: bytes) -> None:
        self.master, self.named, self.key = master, named, key
        self.awaiting = set(named)


class StandardMachine(RuleBasedStateMachine):
    key_ids = Bundle("key_ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.store = KeyStore(Path(self.directory.name))
        self.journal = Journal(self.store)
        self.inventory = KeyInventory(LIMITS.max_key_count, 1e9, 1e9)
        self.service = KeyService(
            {"a": "kme-a", "b": "kme-b"}, LIMITS, DH, SaeRegistry(HOMES, {}, frozenset("ab"), lambda _: None),
            EmbeddedTransport(PARTIES, None, lambda: 1.7e9), self.inventory, Ledger(),
            self.journal, os.urandom, lambda: 1.0,
        )  # fmt: skip
        self.clients = {site: self.loop.run_until_complete(self.client(site)) for site in "ab"}
        self.owed: dict[str, Owed] = {}
        self.given: set[tuple[str, str]] = set()

    async def client(self, site: str) -> TestClient[web.Request, web.Application]:
        authority.ensure_ca(self.directory.name)
        kme = Etsi014Server(site, self.service, Revocations(self.directory.name))
        application = kme.application(identify=lambda request: Caller(request.headers["X-Sae"], None))
        client = TestClient(TestServer(application), loop=self.loop)
        await client.start_server()
        return client

    def ask(self, caller: str, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        async def play() -> tuple[int, Any]:
            client = self.clients[HOMES[caller]]
            answer = await client.request(verb, f"/api/v1/keys{path}", json=body, headers={"X-Sae": caller})
            return answer.status, await answer.json()

        return self.loop.run_until_complete(play())

    @rule(target=key_ids, caller=SAES, slave=SAES, number=st.integers(0, 4), size=st.sampled_from([None, 128, 100]),
          also=st.lists(SAES, max_size=2), extension=EXTENSIONS)  # fmt: skip
    def get_key(self, caller: str, slave: str, number: int, size: int | None, also: list[str], extension: Any) -> Any:
        body = {
            "number": number, "size": size, "additional_slave_SAE_IDs": also,
            "extension_mandatory": extension and [extension],
        }  # fmt: skip
        status, answer = self.ask(caller, "POST", f"/{slave}/enc_keys", body)
        is_legal = 1 <= number <= 3 and size != 100 and len(also) <= 1 and slave not in also and extension != {"x": 1}
        if not is_legal:
            assert status == 400
            assert answer["message"]
            return multiple()
        waiting = [owed for owed in self.owed.values() if owed.awaiting]
        of_pair = max(sum(o.master == caller and name in o.awaiting for o in waiting) for name in (slave, *also))
        of_sae = sum(o.master == caller for o in waiting)
        if len(waiting) + number > 40 or of_sae + number > 20 or of_pair + number > 10:
            assert status == 503
            return multiple()
        assert status == 200
        assert len(answer["keys"]) == number
        for each in answer["keys"]:
            assert each["key_ID"] not in self.owed
            key = base64.b64decode(each["key"], validate=True)
            assert len(key) * 8 == (size or LIMITS.key_size)
            self.owed[each["key_ID"]] = Owed(caller, {slave, *also}, key)
        return multiple(*(each["key_ID"] for each in answer["keys"]))

    @rule(caller=SAES, master=SAES, wanted=st.lists(key_ids, min_size=1, max_size=4), unknown=st.booleans())
    def get_key_with_ids(self, caller: str, master: str, wanted: list[str], unknown: bool) -> None:
        ids = [*wanted, str(uuid.uuid4())] if unknown else wanted
        body = {"key_IDs": [{"key_ID": key_id} for key_id in ids]}
        status, answer = self.ask(caller, "POST", f"/{master}/dec_keys", body)
        if len(ids) > LIMITS.max_key_per_request or len(set(ids)) < len(ids):
            assert status == 400
            return
        found = [owed if (owed := self.owed.get(key_id)) and owed.awaiting else None for key_id in ids]
        if any(o is None or o.master != master or (caller in o.named and caller not in o.awaiting) for o in found):
            assert (status, answer["message"]) == (400, NOT_FOUND)
            return
        if any(o is not None and caller not in o.named for o in found):
            assert status == 401
            assert answer["message"]
            return
        assert status == 200
        assert [each["key_ID"] for each in answer["keys"]] == ids
        for each in answer["keys"]:
            owed = self.owed[each["key_ID"]]
            assert base64.b64decode(each["key"]) == owed.key
            assert (each["key_ID"], caller) not in self.given
            self.given.add((each["key_ID"], caller))
            owed.awaiting.discard(caller)

    @rule(caller=SAES, key_id=key_ids, master=SAES)
    def get_key_with_id_by_get(self, caller: str, key_id: str, master: str) -> None:
        owed = self.owed[key_id]
        status, answer = self.ask(caller, "GET", f"/{master}/dec_keys?key_ID={key_id}")
        if owed.master != master or (caller in owed.named and caller not in owed.awaiting) or not owed.awaiting:
            assert (status, answer["message"]) == (400, NOT_FOUND)
        elif caller not in owed.named:
            assert status == 401
        else:
            assert status == 200
            assert base64.b64decode(answer["keys"][0]["key"]) == owed.key
            owed.awaiting.discard(caller)
            self.given.add((key_id, caller))

    @rule(caller=SAES, slave=SAES)
    def get_status(self, caller: str, slave: str) -> None:
        status, answer = self.ask(caller, "GET", f"/{slave}/status")
        assert status == 200
        assert (answer["master_SAE_ID"], answer["slave_SAE_ID"]) == (caller, slave)
        assert (answer["source_KME_ID"], answer["target_KME_ID"]) == (f"kme-{HOMES[caller]}", f"kme-{HOMES[slave]}")
        assert 0 <= answer["stored_key_count"] <= answer["max_key_count"] == LIMITS.max_key_count

    @rule(caller=SAES, slave=st.sampled_from(["nobody", "..", "%00", "x" * 65]))
    def unknown_slave(self, caller: str, slave: str) -> None:
        assert self.ask(caller, "GET", f"/{slave}/enc_keys")[0] == 400

    @rule()
    def pools_fill(self) -> None:
        for pool_id in self.inventory.pool_ids:
            self.loop.run_until_complete(self.service.refill(pool_id, 2))

    @rule()
    def crash(self) -> None:
        """Memory is lost, the disk is not."""
        self.inventory = KeyInventory(LIMITS.max_key_count, 1e9, 1e9)
        self.inventory.await_slaves(self.store.load_keys())
        self.service.inventory = self.inventory

    @invariant()
    def nothing_is_lost(self) -> None:
        for key_id in [key_id for key_id, owed in self.owed.items() if not owed.awaiting]:
            assert uuid.UUID(key_id) not in {key.key_id for key in self.inventory}
        waiting = {key_id for key_id, owed in self.owed.items() if owed.awaiting}
        assert {str(key.key_id) for key in self.inventory} == waiting

    def teardown(self) -> None:
        async def close() -> None:
            for client in self.clients.values():
                await client.close()
            await self.journal.close()

        self.loop.run_until_complete(close())
        self.loop.close()
        self.directory.cleanup()


TestStandard = StandardMachine.TestCase
TestStandard.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
