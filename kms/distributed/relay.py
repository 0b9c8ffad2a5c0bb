"""The relay between processes: each hop is one message to the next KME, under one-time pads of the section between.

As in the embedded form (kms.relay): every node on the way sees the message, each crossing of a section uses up as many
of its bits as the message has and 256 for the tag. The header, with the way and the keys' ids, is under the tag too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kms.distributed.pads import Pads
from kms.distributed.peers import PeerClient, decode, encode
from kms.errors import ExchangeError, SectionStoppedError
from kms.keys import Route
from kms.relay import QkdNetwork, xor
from kms.sources.qkd import authentication

Deliver = Callable[[dict[str, Any], bytes, int], Awaitable[None]]


class PadRelay:
    def __init__(
        self, site: str, network: QkdNetwork, pads: Mapping[str, Pads], site_of: Callable[[str], str],
        client: PeerClient, deliver: Deliver,
    ) -> None:  # fmt: skip
        """``site_of`` says which site a QKD node is at; ``deliver`` takes what arrives: header, message, crossings."""
        self._site = site
        self._network = network
        self._pads = pads
        self._site_of = site_of
        self._client = client
        self._deliver = deliver

    async def send(self, message: bytes, target: str, header: Mapping[str, Any], route: Route | None) -> int:
        """Carry ``message`` from here to ``target``; how many sections it crossed. It is there when this returns."""
        path = self._network.path(self._site, target, len(message), route)
        way = [[traversal.section.section_id, traversal.is_forward] for traversal in path]
        whole = {**header, "origin": self._site, "target": target, "way": way}
        await self._hop(json.dumps(whole), way, 0, message)
        return len(way)

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
            await self._deliver(header, message, len(way))
        else:
            raise ExchangeError("a relayed message ends at the wrong KME")
        return {}

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


def _bound(header: str, index: int, ciphertext: bytes) -> bytes:
    text = header.encode()
    return len(text).to_bytes(4, "big") + text + index.to_bytes(4, "big") + ciphertext
