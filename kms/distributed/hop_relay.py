"""The relay between processes: each hop is one message to the next KME, under one-time pads of the section between.

As in the embedded form (:mod:`kms.qkdnet.qkd_network`): every node on the way sees the message, each crossing of a
section uses up as many of its bits as the message has and 256 for the tag. The header, with the way and the keys' ids,
is under the tag too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from kms.distributed.message_shares import Part, PartsArriving
from kms.distributed.one_time_pads import Pads
from kms.distributed.peer_rpc import PeerClient, decode, encode
from kms.errors import ExchangeError, SectionStoppedError
from kms.keys.key import MAX_DISJOINT_RELAYS, RoutingConstraint
from kms.qkdnet.qkd_network import QkdNetwork, combine_shares, split_shares, xor
from kms.qkdnet.topology import Traversal
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.protocol import Entropy

Deliver = Callable[[dict[str, Any], bytes, int, int], Awaitable[None]]


class PadRelay:
    def __init__(
        self, site: str, network: QkdNetwork, pads: Mapping[str, Pads], site_of: Callable[[str], str],
        client: PeerClient, deliver: Deliver, entropy: Entropy, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        """``site_of`` says which site a QKD node is at; ``deliver`` takes what arrives: header, message, crossings,
        relays.
        """
        self._site = site
        self._network = network
        self._pads = pads
        self._site_of = site_of
        self._client = client
        self._deliver = deliver
        self._entropy = entropy
        self._parts = PartsArriving(clock)

    async def send(self, message: bytes, target: str, header: Mapping[str, Any], way: RoutingConstraint) -> int:
        """Carry ``message`` from here to ``target``; how many sections it crossed. It is there when this returns."""
        paths = self._network.paths(self._site, target, len(message), way)
        batch = self._entropy(16).hex()
        for n, (path, part) in enumerate(zip(paths, split_shares(message, len(paths), self._entropy), strict=True)):
            whole = {**header, "origin": self._site, "target": target, "way": _named(path)}
            if len(paths) > 1:
                whole["part"] = [batch, n, len(paths)]
            await self._hop(json.dumps(whole), whole["way"], 0, part)
        return sum(map(len, paths))

    async def receive(self, peer: str, body: dict[str, Any]) -> dict[str, Any]:
        """A message that comes from the KME before us on its way; answered when it has arrived."""
        text, index = str(body["header"]), int(body["index"])
        header = json.loads(text)
        way = header["way"]
        if not 0 <= index < len(way):
            raise ExchangeError("a relayed message has lost its way")
        section, is_forward = str(way[index][0]), bool(way[index][1])
        near, far = self._ends(section, is_forward)
        if peer != near or self._site != far:
            raise ExchangeError(f"a relayed message does not come over section {section}")
        ciphertext = decode(body["ciphertext"])
        size = len(ciphertext) + authentication.ONE_TIME_KEY_BYTES
        pad = self._pads[section].take_to_receive(str(body["generation"]), int(body["at"]), size)
        authentication.check(
            pad[len(ciphertext) :],
            _bound(text, index, ciphertext),
            decode(body["tag"]),
            f"relay over section {section}",
        )
        message = xor(ciphertext, pad[: len(ciphertext)])
        if index + 1 < len(way):
            await self._hop(text, way, index + 1, message)
        elif header["target"] == self._site:
            await self._arrived(header, message, len(way))
        else:
            raise ExchangeError("a relayed message ends at the wrong KME")
        return {}

    async def _arrived(self, header: dict[str, Any], message: bytes, crossings: int) -> None:
        if "part" not in header:
            await self._deliver(header, message, crossings, 1)
            return
        batch, number, count = str(header["part"][0]), int(header["part"][1]), int(header["part"][2])
        if not 0 <= number < count <= MAX_DISJOINT_RELAYS:
            raise ExchangeError("a part of a relayed message is of a number that cannot be")
        parts = self._parts.add((str(header["origin"]), batch), count, number, Part(message, crossings))
        if parts is not None:
            message = combine_shares([part.message for part in parts])
            await self._deliver(header, message, sum(part.crossings for part in parts), count)

    async def _hop(self, header: str, way: list[list[Any]], index: int, message: bytes) -> None:
        section, is_forward = str(way[index][0]), bool(way[index][1])
        near, far = self._ends(section, is_forward)
        if near != self._site:
            raise ExchangeError("a relayed message has left its way")
        if not self._network.sections[section].is_usable:
            raise SectionStoppedError(f"QKD section {section} is {self._network.sections[section].state.value}")
        pads = self._pads[section]
        at, pad = pads.take_to_send(len(message) + authentication.ONE_TIME_KEY_BYTES)
        ciphertext = xor(message, pad[: len(message)])
        tag = authentication.tag(pad[len(message) :], _bound(header, index, ciphertext))
        await self._client.call(
            far, "relay",
            {
                "header": header, "index": index, "generation": pads.generation, "at": at,
                "ciphertext": encode(ciphertext), "tag": encode(tag),
            },
        )  # fmt: skip

    def _ends(self, section_id: str, is_forward: bool) -> tuple[str, str]:
        section = self._network.sections.get(section_id)
        if section is None:
            raise ExchangeError("a relayed message names a QKD section that is not there")
        ends = self._site_of(section.a), self._site_of(section.b)
        return ends if is_forward else (ends[1], ends[0])


def _named(path: Sequence[Traversal]) -> list[list[Any]]:
    return [[traversal.section.section_id, traversal.is_forward] for traversal in path]


def _bound(header: str, index: int, ciphertext: bytes) -> bytes:
    text = header.encode()
    return len(text).to_bytes(4, "big") + text + index.to_bytes(4, "big") + ciphertext
