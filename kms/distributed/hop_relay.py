"""The relay between processes: each hop is one message to the next KME, under one-time pads of the section between.

As in the embedded form (:mod:`kms.qkdnet.qkd_network`): every node on the path sees the message, each crossing of a
section uses up as many of its bits as the message has and 256 for the tag. The header, with the path and the keys' ids,
is under the tag too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from kms.distributed.message_shares import Share, ShareCollector
from kms.distributed.one_time_pads import Pads
from kms.distributed.peer_messages import RELAY, Nothing, Payload, RelayedMessage, RelayHeader, SharePosition, parse
from kms.distributed.peer_rpc import PeerClient
from kms.errors import ExchangeError, ExhaustedError, SectionStoppedError, ShortOfKeyError
from kms.keys.key import KeySource, RoutingConstraint
from kms.qkdnet.pad_account import FREE, PadAccount
from kms.qkdnet.qkd_network import QkdNetwork, combine_shares, crossings_of, split_shares, xor
from kms.sources.qkd.post_processing import authentication
from kms.sources.qkd.protocol import Entropy

_WAITS, _WAIT_S = 20, 0.05  # a second in all, so that several hops stay within the time of a call between KMEs

Deliver = Callable[[RelayHeader, bytes, int, int], Awaitable[None]]


class RelaySender:
    """Sends messages off from this site, and on to the next one."""

    def __init__(
        self, site: str, network: QkdNetwork, pads: Mapping[str, Pads], site_of: Callable[[str], str],
        client: PeerClient, entropy: Entropy,
    ) -> None:  # fmt: skip
        """``site_of`` says which site a QKD node is at."""
        self._site = site
        self._network = network
        self._pads = pads
        self._site_of = site_of
        self._client = client
        self._entropy = entropy

    async def send(
        self, message: bytes, target: str, kind: Payload, source: KeySource, key_ids: Sequence[uuid.UUID],
        constraint: RoutingConstraint, account: PadAccount = FREE,
    ) -> int:  # fmt: skip
        """Carry ``message`` from here to ``target``; how many sections it crossed. It is there when this returns.

        All crossings are debited to ``account`` here, before the first. ShortOfKeyError with none of them made; a
        section further on that runs short meanwhile is any other ExhaustedError, as sending again would cost again.
        """
        paths = self._network.paths(self._site, target, len(message), constraint)
        bytes_each = len(message) + authentication.ONE_TIME_KEY_BYTES
        for section, count in crossings_of([path[:1] for path in paths]).items():
            if self._pads[section].sendable < count * bytes_each:
                raise ShortOfKeyError(f"QKD section {section} has too little key left")
        account.debit(crossings_of(paths), 8 * bytes_each)
        batch, count = self._entropy(16).hex(), len(paths)
        for n, (path, share) in enumerate(zip(paths, split_shares(message, count, self._entropy), strict=True)):
            header = RelayHeader(
                kind=kind, source=source, key_ids=tuple(key_ids), origin=self._site, target=target,
                path=tuple((traversal.section.section_id, traversal.is_forward) for traversal in path),
                share=SharePosition(batch=batch, number=n, count=count) if count > 1 else None,
            )  # fmt: skip
            try:
                await self.forward(header, header.model_dump_json(), 0, share)
            except ShortOfKeyError as error:
                raise ExhaustedError(f"on the way to {target}: {error}") from None
        return sum(map(len, paths))

    async def forward(self, header: RelayHeader, text: str, index: int, message: bytes) -> None:
        """One hop, over the section that comes ``index``-th on the path; ``text`` is the header's, as it began."""
        section, is_forward = header.path[index]
        near, far = self.ends(section, is_forward)
        if near != self._site:
            raise ExchangeError("a relayed message has left its path")
        if not self._network.sections[section].is_usable:
            raise SectionStoppedError(f"QKD section {section} is {self._network.sections[section].state.value}")
        pads = self._pads[section]
        count = len(message) + authentication.ONE_TIME_KEY_BYTES
        if index > 0:
            await self._wait_for_pads(pads, count)
        at, pad = pads.take_to_send(count)
        ciphertext = xor(message, pad[: len(message)])
        tag = authentication.tag(pad[len(message) :], _bound(text, index, ciphertext))
        hop = RelayedMessage(
            header=text, index=index, generation=pads.generation, at=at, ciphertext=ciphertext, tag=tag
        )  # fmt: skip
        await self._client.call(far, RELAY, hop)

    @staticmethod
    async def _wait_for_pads(pads: Pads, count: int) -> None:
        """For a moment: what has come so far took pads of the sections before, which would be lost."""
        for _ in range(_WAITS):
            if pads.sendable >= count:
                return
            await asyncio.sleep(_WAIT_S)

    def ends(self, section_id: str, is_forward: bool) -> tuple[str, str]:
        """The sites where a crossing of the section begins and ends."""
        section = self._network.sections.get(section_id)
        if section is None:
            raise ExchangeError("a relayed message names a QKD section that is not there")
        ends = self._site_of(section.a), self._site_of(section.b)
        return ends if is_forward else (ends[1], ends[0])


class RelayReceiver:
    """Takes relayed messages: those for this site to ``deliver``, the others on with ``sender``."""

    def __init__(
        self, site: str, sender: RelaySender, pads: Mapping[str, Pads], deliver: Deliver, clock: Callable[[], float]
    ) -> None:
        """``deliver`` takes what arrives: header, message, crossings, relays."""
        self._site = site
        self._sender = sender
        self._pads = pads
        self._deliver = deliver
        self._shares = ShareCollector(clock)

    async def receive(self, peer: str, body: RelayedMessage) -> Nothing:
        """A message that comes from the KME before us on its path; answered when it has arrived."""
        header = parse(RelayHeader, body.header)
        if body.index >= len(header.path):
            raise ExchangeError("a relayed message has lost its path")
        section, is_forward = header.path[body.index]
        near, far = self._sender.ends(section, is_forward)
        if peer != near or self._site != far:
            raise ExchangeError(f"a relayed message does not come over section {section}")
        size = len(body.ciphertext)
        pad = self._pads[section].take_to_receive(
            body.generation, body.at, size + authentication.ONE_TIME_KEY_BYTES
        )  # fmt: skip
        bound = _bound(body.header, body.index, body.ciphertext)
        authentication.check(pad[size:], bound, body.tag, f"relay over section {section}")
        message = xor(body.ciphertext, pad[:size])
        if body.index + 1 < len(header.path):
            await self._sender.forward(header, body.header, body.index + 1, message)
        elif header.target == self._site:
            await self._arrived(header, message)
        else:
            raise ExchangeError("a relayed message ends at the wrong KME")
        return Nothing()

    async def _arrived(self, header: RelayHeader, message: bytes) -> None:
        crossings, share = len(header.path), header.share
        if share is None:
            await self._deliver(header, message, crossings, 1)
            return
        if share.number >= share.count:
            raise ExchangeError("a share of a relayed message is of a number that cannot be")
        name = header.origin, share.batch
        shares = self._shares.add(name, share.count, share.number, Share(message, crossings))
        if shares is not None:
            message = combine_shares([each.message for each in shares])
            await self._deliver(header, message, sum(each.crossings for each in shares), share.count)


def _bound(header: str, index: int, ciphertext: bytes) -> bytes:
    text = header.encode()
    return len(text).to_bytes(4, "big") + text + index.to_bytes(4, "big") + ciphertext
