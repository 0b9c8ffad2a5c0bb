"""What the tunnel needs of a key management entity."""

from __future__ import annotations

from asyncio import gather
from typing import Protocol

from kms.tunnel.effects import AskDecKey, AskEncKey
from kms.tunnel.errors import KeyRefused
from kms.tunnel.suites import Suite, roles

_BETWEEN = "/"  # in a name that stands for two keys; key ids have none


class KeyClient(Protocol):
    """An ETSI GS QKD 014 client. Both calls raise KeyRefused when there is no key."""

    async def enc_key(self, slave_sae: str, key_source: str) -> tuple[str, bytes]:
        """A fresh key shared with ``slave_sae``: its id and its 32 octets."""
        ...

    async def dec_key(self, master_sae: str, key_id: str) -> bytes:
        """The key that ``master_sae`` was given under ``key_id``."""
        ...


async def offered_key(keys: KeyClient, question: AskEncKey, suite: Suite) -> tuple[str, bytes]:
    """A fresh key as ``suite`` needs it: one, or one for encryption and one for authentication after it."""
    if not suite.is_split:
        return await keys.enc_key(question.slave_sae, question.key_source)
    asked = (keys.enc_key(question.slave_sae, source) for source in roles(question.key_source))
    (encryption_id, encryption), (authentication_id, authentication) = await gather(*asked)
    if _BETWEEN in encryption_id + authentication_id or encryption_id == authentication_id:
        raise KeyRefused("the KME gave key ids that cannot be used together", is_final=False)
    return f"{encryption_id}{_BETWEEN}{authentication_id}", encryption + authentication


async def known_key(keys: KeyClient, question: AskDecKey, suite: Suite) -> bytes:
    """What :func:`offered_key` gave the peer."""
    if not suite.is_split:
        return await keys.dec_key(question.master_sae, question.key_id)
    names = question.key_id.split(_BETWEEN)
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise KeyRefused("two keys were to be offered", is_final=True)
    encryption, authentication = await gather(*(keys.dec_key(question.master_sae, name) for name in names))
    return encryption + authentication
