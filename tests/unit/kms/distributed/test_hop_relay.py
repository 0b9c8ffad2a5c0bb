"""The relay from KME to KME: what waits for pads on the way waits there, and is not sent again from the start."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from kms.distributed import hop_relay
from kms.distributed.hop_relay import RelayReceiver, RelaySender
from kms.distributed.one_time_pads import Pads
from kms.distributed.peer_messages import Payload, RelayHeader
from kms.errors import ExhaustedError, ShortOfKeyError
from kms.keys.key import QKD, UNCONSTRAINED
from kms.qkdnet.disjoint_routing import Link
from kms.qkdnet.qkd_network import QkdNetwork
from kms.sources.qkd.post_processing.authentication import ONE_TIME_KEY_BYTES as TAG
from tests.support.filled_sections import filled_section

MESSAGE = bytes(range(64))
NEEDED = len(MESSAGE) + TAG


class Line:
    """Sites a - b - c, a section each between two. Their KMEs' relays call each other directly."""

    def __init__(self, ab: int, bc: int) -> None:
        """So many octets of pads are there to send with, eastward; what routing believes is that there is plenty."""
        ends = {"ab": ("a", "b"), "bc": ("b", "c")}
        sections = {name: filled_section(name, *nodes, 100_000) for name, nodes in ends.items()}
        network = QkdNetwork(sections, [Link(name, *nodes, (name,)) for name, nodes in ends.items()])
        self.pads: dict[tuple[str, str], Pads] = {}
        for name, nodes in ends.items():
            for site in nodes:
                self.pads[site, name] = Pads()
                self.pads[site, name].begin("g")
        self.arrived: list[bytes] = []
        self.senders: dict[str, RelaySender] = {}
        self.receivers: dict[str, RelayReceiver] = {}
        for site in "abc":
            pads = {name: pads for (where, name), pads in self.pads.items() if where == site}
            client: Any = _Client(site, self.receivers)
            self.senders[site] = RelaySender(site, network, pads, lambda node: node, client, os.urandom)
            self.receivers[site] = RelayReceiver(site, self.senders[site], pads, self._deliver, lambda: 0.0)
        self.fill("ab", ab)
        self.fill("bc", bc)

    def fill(self, section: str, count: int) -> None:
        bits = os.urandom(count)
        near, far = (self.pads[site, section] for site in section)
        near.store_to_send(near.sent_to, bits)
        far.store_to_receive(far.received_to, bits)

    def left(self) -> dict[str, int]:
        return {name: self.pads[name[0], name].sendable for name in ("ab", "bc")}

    async def _deliver(self, header: RelayHeader, message: bytes, crossings: int, relays: int) -> None:
        self.arrived.append(message)

    async def send(self, account: Any = None) -> int:
        more = () if account is None else (account,)
        ids = [uuid.uuid4(), uuid.uuid4()]
        return await self.senders["a"].send(MESSAGE, "c", Payload.KEYS, QKD, ids, UNCONSTRAINED, *more)


class _Client:
    def __init__(self, site: str, receivers: Mapping[str, RelayReceiver]) -> None:
        self._site = site
        self._receivers = receivers

    async def call(self, site: str, method: Any, body: Any) -> Any:
        return await self._receivers[site].receive(self._site, body)


def play(scenario: Callable[[Line], Awaitable[None]], ab: int, bc: int) -> None:
    async def run() -> None:
        await scenario(Line(ab, bc))

    asyncio.run(run())


def test_fault_06_a_message_waits_for_pads_where_it_is_and_takes_those_before_once() -> None:
    async def scenario(line: Line) -> None:
        asyncio.get_running_loop().call_later(0.02, line.fill, "bc", NEEDED)
        assert await line.send() == 2
        assert line.arrived == [MESSAGE]
        assert line.left() == {"ab": 9 * NEEDED, "bc": 10}

    play(scenario, ab=10 * NEEDED, bc=10)


def test_fault_06_what_fails_on_its_way_is_not_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hop_relay, "_WAITS", 2)

    async def scenario(line: Line) -> None:
        with pytest.raises(ExhaustedError) as caught:
            await line.send()
        assert not isinstance(caught.value, ShortOfKeyError)  # which says: nothing was taken, try again
        assert line.left() == {"ab": 9 * NEEDED, "bc": 10}

    play(scenario, ab=10 * NEEDED, bc=10)


def test_fault_06_a_message_that_cannot_begin_takes_nothing_and_may_be_sent_again() -> None:
    async def scenario(line: Line) -> None:
        with pytest.raises(ShortOfKeyError):
            await line.send()
        assert line.left() == {"ab": 10, "bc": 10 * NEEDED}

    play(scenario, ab=10, bc=10 * NEEDED)


def test_fault_04_all_crossings_are_debited_where_the_message_begins_or_none_is_made() -> None:
    asked: list[tuple[dict[str, int], int]] = []

    class Purse:
        def debit(self, crossings: Mapping[str, int], bits_each: int) -> None:
            asked.append((dict(crossings), bits_each))
            if len(asked) > 1:
                raise ExhaustedError("no more")

    async def scenario(line: Line) -> None:
        purse = Purse()
        await line.send(purse)
        assert asked == [({"ab": 1, "bc": 1}, 8 * NEEDED)]
        before = line.left()
        with pytest.raises(ExhaustedError, match="no more"):
            await line.send(purse)
        assert line.left() == before

    play(scenario, ab=10 * NEEDED, bc=10 * NEEDED)
