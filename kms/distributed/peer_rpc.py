"""Talking to the other KMEs: HTTPS with mutual TLS, JSON, and errors that mean the same at both ends."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import web
from cryptography import x509

from kms import errors
from kms.errors import ExchangeError, KmsError, PeerUnavailableError, UnauthorisedError
from kms.pki.kme_identity import kme_id_of

BASE_PATH = "/kme/v1"
MAX_BODY_BYTES = 4 << 20
TIMEOUT_S = 5.0
_REFUSED = 409

# What a KME may tell another; anything else is an ExchangeError there.
_ERRORS: dict[str, type[KmsError]] = {
    kind.__name__: kind
    for kind in (
        errors.ExhaustedError, errors.ShortOfKeyError, errors.SectionStoppedError, errors.NoRouteError,
        errors.PeerUnavailableError, errors.KeysForgottenError, errors.ExchangeError, errors.StoreError,
        errors.UnauthorisedError, errors.RequestError,
    )
}  # fmt: skip

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Peer:
    site: str
    kme_id: str
    host: str
    port: int


def encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ExchangeError("a message of another KME is not well formed") from None


class PeerClient:
    """Calls the other KMEs."""

    def __init__(self, peers: Mapping[str, Peer], directory: Path) -> None:
        self.peers = dict(peers)
        self._tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(directory / "ca.pem"))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self._session: aiohttp.ClientSession | None = None

    async def call(self, site: str, method: str, body: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Any:
        """The answer of a site's KME; what it refused is raised here as it was there."""
        peer = self.peers[site]
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls))
        url = f"https://{peer.host}:{peer.port}{BASE_PATH}/{method}"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            # Its certificate has to be of that KME, not only of our authority.
            async with self._session.post(url, json=body, timeout=timeout, server_hostname=peer.kme_id) as response:
                status, answer = response.status, await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PeerUnavailableError(f"the KME of {site} does not answer ({type(error).__name__})") from None
        if status == 200 and isinstance(answer, dict):
            return answer
        refusal = answer if isinstance(answer, dict) else {}
        kind = _ERRORS.get(str(refusal.get("error")), ExchangeError)
        raise kind(str(refusal.get("message", "refused"))[:400])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class PeerServer:
    """The interface for other KMEs: no one else gets past its door."""

    def __init__(
        self, sites_by_kme: Mapping[str, str], handlers: Mapping[str, Handler], is_revoked: Callable[[int], bool]
    ) -> None:
        self._sites = dict(sites_by_kme)
        self._handlers = dict(handlers)
        self._is_revoked = is_revoked
        self._callers: WeakKeyDictionary[Any, tuple[str, int]] = WeakKeyDictionary()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(f"{BASE_PATH}/{{method}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            site = self._caller(request)
            handler = self._handlers.get(request.match_info["method"])
            body = json.loads(await request.read())
            if handler is None or not isinstance(body, dict):
                raise ExchangeError("there is no such method")
            return web.json_response(await handler(site, body))
        except KmsError as error:
            status = 401 if isinstance(error, UnauthorisedError) else _REFUSED
            kind = next((k.__name__ for k in type(error).__mro__ if k.__name__ in _ERRORS), "ExchangeError")
            return web.json_response({"error": kind, "message": str(error)}, status=status)
        except (KeyError, TypeError, ValueError, AttributeError):
            return web.json_response({"error": "ExchangeError", "message": "not well formed"}, status=400)

    def _caller(self, request: web.Request) -> str:
        """The site of the KME at the other end; UnauthorisedError when it is none."""
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        if tls is None:
            raise UnauthorisedError("the connection is gone")
        known = self._callers.get(tls)
        if known is None:
            certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
            known = kme_id_of(certificate) or "", certificate.serial_number
            self._callers[tls] = known
        kme_id, serial = known
        if kme_id not in self._sites or self._is_revoked(serial):
            raise UnauthorisedError("the certificate is not that of a KME of this network")
        return self._sites[kme_id]
