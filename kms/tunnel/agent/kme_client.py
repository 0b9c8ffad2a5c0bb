"""The KMS's ETSI 014 client as the tunnel wants it: what went wrong is told in the tunnel's terms."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from typing import Protocol

from kms.clients.etsi014_client import Kme014Client
from kms.errors import KmeRefusedError, KmeUnavailableError
from kms.tunnel.errors import KeyRefused
from kms.tunnel.packet.cipher_suites import Suite, roles
from kms.tunnel.protocol.effects import AskDecKeys, AskEncKeys


class KmeKeys:
    """A :class:`kms.tunnel.agent.kme_client.KeyClient` on a KME."""

    def __init__(self, client: Kme014Client) -> None:
        self._client = client

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        try:
            return await self._client.enc_keys(slave_sae, key_source, number)
        except (KmeRefusedError, KmeUnavailableError) as error:
            raise _refused(error) from error

    async def dec_keys(self, master_sae: str, key_source: str, key_ids: Sequence[str]) -> list[bytes]:
        try:
            return await self._client.dec_keys(master_sae, key_ids)
        except (KmeRefusedError, KmeUnavailableError) as error:
            raise _refused(error) from error


def _refused(error: KmeRefusedError | KmeUnavailableError) -> KeyRefused:
    """An answer with a status is about this key; without one (TLS, no connection) the KME was not even asked."""
    is_final = isinstance(error, KmeRefusedError) and error.status is not None
    return KeyRefused(str(error), is_final=is_final)


_BETWEEN = "/"  # in a name that stands for two keys; key ids have none


class KeyClient(Protocol):
    """An ETSI GS QKD 014 client. Both calls raise KeyRefused when there is no key, or not all that are asked for."""

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> Sequence[tuple[str, bytes]]:
        """Fresh keys shared with ``slave_sae``: of each its id and its 32 octets."""
        ...

    async def dec_keys(self, master_sae: str, key_source: str, key_ids: Sequence[str]) -> Sequence[bytes]:
        """The keys of that source that ``master_sae`` was given under ``key_ids``, in their order."""
        ...


async def offered_keys(keys: KeyClient, question: AskEncKeys, suite: Suite) -> list[tuple[str, bytes]]:
    """Fresh keys as ``suite`` needs them: single ones, or pairs for encryption and for authentication after it."""
    if not suite.is_split:
        return list(await keys.enc_keys(question.slave_sae, question.key_source, question.number))
    asked = (keys.enc_keys(question.slave_sae, source, question.number) for source in roles(question.key_source))
    encrypting, authenticating = await gather(*asked)
    names = [key_id for key_id, _ in (*encrypting, *authenticating)]
    if any(_BETWEEN in name for name in names) or len(set(names)) < 2 * question.number:
        raise KeyRefused("the KME gave key ids that cannot be used together", is_final=False)
    return [
        (f"{encryption_id}{_BETWEEN}{authentication_id}", encryption + authentication)
        for (encryption_id, encryption), (authentication_id, authentication) in zip(
            encrypting, authenticating, strict=True
        )
    ]


async def known_keys(keys: KeyClient, question: AskDecKeys, suite: Suite) -> list[tuple[str, bytes]]:
    """What :func:`offered_keys` gave the peer, of the ids that are asked for."""
    if not suite.is_split:
        found = await keys.dec_keys(question.master_sae, question.key_source, question.key_ids)
        return list(zip(question.key_ids, found, strict=True))
    pairs = [key_id.split(_BETWEEN) for key_id in question.key_ids]
    if any(len(names) != 2 or not all(names) or names[0] == names[1] for names in pairs):
        raise KeyRefused("two keys were to be offered", is_final=True)
    halves = zip(roles(question.key_source), zip(*pairs, strict=True), strict=True)
    asked = (keys.dec_keys(question.master_sae, source, names) for source, names in halves)
    encrypting, authenticating = await gather(*asked)
    joined = (one + other for one, other in zip(encrypting, authenticating, strict=True))
    return list(zip(question.key_ids, joined, strict=True))
