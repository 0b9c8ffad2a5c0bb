"""The KMS's ETSI 014 client as the tunnel wants it: what went wrong is told in the tunnel's terms."""

from __future__ import annotations

from collections.abc import Sequence

from kms.client import Kme014Client
from kms.errors import KmeRefusedError, KmeUnavailableError
from kms.tunnel.errors import KeyRefused


class KmeKeys:
    """A :class:`kms.tunnel.keyclient.KeyClient` on a KME."""

    def __init__(self, client: Kme014Client) -> None:
        self._client = client

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        try:
            return await self._client.enc_keys(slave_sae, key_source, number)
        except (KmeRefusedError, KmeUnavailableError) as error:
            raise _refused(error) from error

    async def dec_keys(self, master_sae: str, key_ids: Sequence[str]) -> list[bytes]:
        try:
            return await self._client.dec_keys(master_sae, key_ids)
        except (KmeRefusedError, KmeUnavailableError) as error:
            raise _refused(error) from error


def _refused(error: KmeRefusedError | KmeUnavailableError) -> KeyRefused:
    """An answer with a status is about this key; without one (TLS, no connection) the KME was not even asked."""
    is_final = isinstance(error, KmeRefusedError) and error.status is not None
    return KeyRefused(str(error), is_final=is_final)
