"""A small client of ETSI GS QKD 014 v1.1.1, over kept-alive mutual-TLS connections: as few as it takes."""

from __future__ import annotations

import base64
import binascii
import json
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp

from kms.clients.few_connections import MOST_CONNECTIONS, KmeConnector
from kms.clients.tls_over_unix import TlsUnixConnector
from kms.errors import KmeRefusedError, KmeUnavailableError

KEY_SIZE_BITS = 256
# Below the server's own limit (kms.interfaces.etsi014), so that a request seldom meets a connection that is being
# closed.
KEEP_ALIVE_S = 30.0
_UUID = re.compile("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Kme014Client:
    """Fetches 256-bit keys from one KME as one SAE (the one that ``cert`` names).

    Every method raises :class:`KmeUnavailableError` when a later try may succeed (no connection, 503) and
    :class:`KmeRefusedError` when it would not (400, 401, a KME that our CA did not certify).
    """

    def __init__(
        self,
        base_url: str,
        cert: Path | str,
        key: Path | str,
        ca: Path | str,
        timeout_s: float = 5.0,
        through: Path | str | None = None,
    ) -> None:
        """``base_url`` is like ``https://10.254.1.1:8443``; the paths are PEM files, OSError if one is missing.

        ``through`` is a Unix socket whose listener passes everything on to the KME: TLS ends there all the same.
        """
        self._base_url = base_url.rstrip("/")
        self._tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(str(cert), str(key))
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._through = None if through is None else str(through)
        self._session: aiohttp.ClientSession | None = None

    async def enc_key(self, slave_sae: str, key_source: str) -> tuple[str, bytes]:
        """A fresh key shared with ``slave_sae``, made by ``key_source`` ("dh", "qra", "qkd" or like "qkd+qra")."""
        (found,) = await self.enc_keys(slave_sae, key_source, 1)
        return found

    async def enc_keys(self, slave_sae: str, key_source: str, number: int) -> list[tuple[str, bytes]]:
        """``number`` fresh keys at once, as :meth:`enc_key`; all or none. An empty source is left to the KME."""
        asked: dict[str, Any] = {"number": number, "size": KEY_SIZE_BITS}
        if key_source:
            asked["extension_mandatory"] = [{"key_source": key_source}]
        answer = await self._post(slave_sae, "enc_keys", asked)
        return _keys(answer, number)

    async def dec_key(self, master_sae: str, key_id: str) -> bytes:
        """The twin of the key that ``master_sae`` got under ``key_id``. A KME gives it once."""
        (key,) = await self.dec_keys(master_sae, (key_id,))
        return key

    async def dec_keys(self, master_sae: str, key_ids: Sequence[str]) -> list[bytes]:
        """The twins of several keys at once, in the order of ``key_ids``; all or none."""
        wanted = [canonical(key_id) for key_id in key_ids]
        if len(set(wanted)) != len(wanted):
            raise KmeRefusedError("one key is asked for twice", 400)
        answer = await self._post(master_sae, "dec_keys", {"key_IDs": [{"key_ID": key_id} for key_id in wanted]})
        found = dict(_keys(answer, len(wanted)))
        for key_id in wanted:
            if key_id not in found:
                raise KmeRefusedError(f"the KME answered with {', '.join(found)} instead of key {key_id}", 200)
        return [found[key_id] for key_id in wanted]

    async def status(self, slave_sae: str) -> dict[str, Any]:
        """The Status object for the pair of this SAE and ``slave_sae``."""
        return await self._request("GET", slave_sae, "status", None)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Kme014Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _post(self, sae: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._request("POST", sae, method, body)

    async def _request(self, verb: str, sae: str, method: str, body: dict[str, Any] | None) -> dict[str, Any]:
        if self._session is None:
            # Made here because aiohttp wants a running event loop.
            connector = (
                KmeConnector(ssl=self._tls, keepalive_timeout=KEEP_ALIVE_S, limit=MOST_CONNECTIONS)
                if self._through is None
                else TlsUnixConnector(self._through, self._tls, keepalive_timeout=KEEP_ALIVE_S, limit=MOST_CONNECTIONS)
            )
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        url = f"{self._base_url}/api/v1/keys/{quote(sae, safe='')}/{method}"
        try:
            async with self._session.request(verb, url, json=body) as response:
                status, text = response.status, await response.text()
        except aiohttp.ClientConnectorCertificateError as error:
            raise KmeRefusedError(f"{self._base_url}: its certificate is not trusted: {error}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
                raise KmeRefusedError(f"{self._base_url}: TLS was refused: {error}") from error
            raise KmeUnavailableError(f"{self._base_url}: {type(error).__name__}: {error}") from error
        if status == 200:
            return _json_object(text)
        message = _error_message(text)
        if status == 503:
            raise KmeUnavailableError(f"{self._base_url}: {message}")
        raise KmeRefusedError(f"{self._base_url}: {status}: {message}", status)


def canonical(key_id: str) -> str:
    """A key's id as RFC 4122, 3 has it written: letters may come in either case, and stand for the same key.

    KmeRefusedError, as the KME itself would refuse it, for what is no UUID.
    """
    if not _UUID.fullmatch(key_id):
        raise KmeRefusedError("a key_ID is not a UUID", 400)
    return key_id.lower()


def _json_object(text: str) -> dict[str, Any]:
    # "from None" throughout: a decoding error carries the document, and the document carries the key.
    try:
        value = json.loads(text)
    except ValueError:
        raise KmeRefusedError("the KME's answer is not JSON", 200) from None
    if not isinstance(value, dict):
        raise KmeRefusedError("the KME's answer is not a JSON object", 200)
    return value


def _keys(container: dict[str, Any], number: int) -> list[tuple[str, bytes]]:
    try:
        found = [
            (canonical(entry["key_ID"]), base64.b64decode(entry["key"], validate=True)) for entry in container["keys"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, KmeRefusedError):
        raise KmeRefusedError("the KME's answer is not a key container", 200) from None
    if len(found) != number or len({key_id for key_id, _ in found}) != number:
        raise KmeRefusedError(f"the KME's answer does not hold {number} different keys", 200)
    for _, key in found:
        if len(key) * 8 != KEY_SIZE_BITS:
            raise KmeRefusedError(f"the KME's key has {len(key) * 8} bits, not {KEY_SIZE_BITS}", 200)
    return found


def _error_message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return "no message"
