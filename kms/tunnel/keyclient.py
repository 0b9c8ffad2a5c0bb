"""What the tunnel needs of a key management entity."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from typing import Protocol

from kms.tunnel.effects import AskDecKeys, AskEncKeys
from kms.tunnel.errors import KeyRefused
from kms.tunnel.suites import Suite, roles

_BETWEEN = "/"  # in a name that stands for two keys; key ids have none


class KeyClient(Protocol):
    """An ETSI GS QKD 014 client. Both calls raise KeyRefused when there is no key, or not all that are asked for."""

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> Sequence[tuple[str, bytes]]:
        """Fresh keys shared with ``slave_sae``: of each its id and its 32 octets."""
        ...

    async def dec_keys(self, master_sae: str, key_ids: Sequence[str]) -> Sequence[bytes]:
        """The keys that ``master_sae`` was given under ``key_ids``, in their order."""
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
        found = await keys.dec_keys(question.master_sae, question.key_ids)
        return list(zip(question.key_ids, found, strict=True))
    pairs = [key_id.split(_BETWEEN) for key_id in question.key_ids]
    if any(len(names) != 2 or not all(names) or names[0] == names[1] for names in pairs):
        raise KeyRefused("two keys were to be offered", is_final=True)
    asked = (keys.dec_keys(question.master_sae, names) for names in zip(*pairs, strict=True))
    encrypting, authenticating = await gather(*asked)
    joined = (one + other for one, other in zip(encrypting, authenticating, strict=True))
    return list(zip(question.key_ids, joined, strict=True))
