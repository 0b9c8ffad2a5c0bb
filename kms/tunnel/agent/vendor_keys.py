"""Keys from a vendor's KME beside those of the site's own: of QKD for certain peers, of other sources not at all.

ETSI GS QKD 014 does not say where a key comes from. That the vendor's are keys of QKD is the operator's word, peer by
peer; so nothing else is asked of it, and it is told nothing of sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kms.tunnel.agent.kme_client import KeyClient
from kms.tunnel.errors import KeyRefused

QKD = "qkd"


class VendorKeys:
    """A :class:`kms.tunnel.agent.kme_client.KeyClient` that asks the vendor's KME for what is the vendor's."""

    def __init__(self, own: KeyClient, vendor: KeyClient, peers: Mapping[str, str]) -> None:
        """``peers``: by the id that an SAE has with us, the id that the vendor's KME knows it by."""
        self._own, self._vendor, self._peers = own, vendor, dict(peers)

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        """One request for each key: what a vendor's KME gives at once may be one."""
        if key_source != QKD:
            return list(await self._own.enc_keys(slave_sae, self._not_vendors(key_source), number))
        peer = self._peer(slave_sae)
        return [key for _ in range(number) for key in await self._vendor.enc_keys(peer, "", 1)]

    async def dec_keys(self, master_sae: str, key_source: str, key_ids: Sequence[str]) -> list[bytes]:
        if key_source != QKD:
            return list(await self._own.dec_keys(master_sae, self._not_vendors(key_source), key_ids))
        peer = self._peer(master_sae)
        return [key for key_id in key_ids for key in await self._vendor.dec_keys(peer, "", (key_id,))]

    def _peer(self, sae: str) -> str:
        if sae not in self._peers:
            raise KeyRefused(f"nobody says that the vendor's KME serves QKD with {sae}", is_final=False)
        return self._peers[sae]

    def _not_vendors(self, key_source: str) -> str:
        """A hybrid that the own KME made would have QKD in it that is not the vendor's."""
        if QKD in key_source.split("+"):
            raise KeyRefused(f"a vendor's keys of QKD are not combined with others ({key_source})", is_final=False)
        return key_source
