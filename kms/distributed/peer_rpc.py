"""Talking to the other KMEs: HTTPS with mutual TLS, JSON, and errors that mean the same at both ends.

========  ==============================================================================
status    the answer
========  ==============================================================================
200       the body that the method answers with
400       the request is not well formed: the text begins with the name of the field
401       the caller is no KME of this network, or speaks for another's SAE
409       the request is refused: a KmsError, raised at the caller as it was here
500       a bug of this KME: the traceback is in its log
========  ==============================================================================
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import web
from cryptography import x509

from kms import errors
from kms.distributed.peer_messages import Answer, Message, Method, Request, parse
from kms.errors import ExchangeError, KmsError, MalformedMessageError, PeerUnavailableError, UnauthorisedError
from kms.pki.kme_identity import kme_id_of

_log = logging.getLogger(__name__)

BASE_PATH = "/kme/v1"
MAX_BODY_BYTES = 4 << 20
TIMEOUT_S = 5.0
_JSON = {"Content-Type": "application/json"}

# What a KME may tell another; anything else is an ExchangeError there.
_ERRORS: dict[str, type[KmsError]] = {
    kind.__name__: kind
    for kind in (
        errors.ExhaustedError, errors.NoRoomError, errors.ShortOfKeyError, errors.SectionStoppedError,
        errors.NoRouteError, errors.PeerUnavailableError, errors.KeysForgottenError, errors.ExchangeError,
        errors.StoreError, errors.UnauthorisedError, errors.RequestError,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """What answers a method: the site of the KME that asks, and its body."""

    name: str
    answer: Callable[[str, bytes], Awaitable[Message]]


def endpoint(method: Method[Request, Answer], handler: Callable[[str, Request], Awaitable[Answer]]) -> Endpoint:
    async def answer(peer: str, body: bytes) -> Message:
        return await handler(peer, parse(method.request, body))

    return Endpoint(method.name, answer)


@dataclass(frozen=True)
class Peer:
    site: str
    kme_id: str
    host: str
    port: int


class Refusal(Message):
    """The body of every answer but 200: the kind of error by its name, and what to tell the operator."""

    error: str
    message: str


class PeerClient:
    """Calls the other KMEs."""

    def __init__(self, peers: Mapping[str, Peer], directory: Path) -> None:
        self.peers = dict(peers)
        self._tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(directory / "ca.pem"))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, site: str, method: Method[Request, Answer], body: Request, timeout_s: float = TIMEOUT_S
    ) -> Answer:
        """The answer of a site's KME; what it refused is raised here as it was there."""
        peer = self.peers[site]
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls))
        url = f"https://{peer.host}:{peer.port}{BASE_PATH}/{method.name}"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        text = body.model_dump_json().encode()
        try:
            # Its certificate has to be of that KME, not only of our authority.
            async with self._session.post(
                url, data=text, headers=_JSON, timeout=timeout, server_hostname=peer.kme_id
            ) as response:
                status, answer = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PeerUnavailableError(f"the KME of {site} does not answer ({type(error).__name__})") from None
        try:
            if status == 200:
                return parse(method.answer, answer)
            refusal = parse(Refusal, answer)
        except MalformedMessageError as error:
            # Not MalformedMessageError: whoever asked us did nothing wrong.
            raise ExchangeError(f"the KME of {site} answered {method.name} with {status}; {error}") from None
        if status in (400, 500):
            raise ExchangeError(f"the KME of {site} could not take {method.name}: {refusal.message}"[:400])
        raise _ERRORS.get(refusal.error, ExchangeError)(refusal.message[:400])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class PeerServer:
    """The interface for other KMEs: no one else gets past its door."""

    def __init__(
        self, sites_by_kme: Mapping[str, str], endpoints: Sequence[Endpoint], is_revoked: Callable[[int], bool]
    ) -> None:
        self._sites = dict(sites_by_kme)
        self._endpoints = {each.name: each for each in endpoints}
        self._is_revoked = is_revoked
        self._callers: WeakKeyDictionary[Any, tuple[str, int]] = WeakKeyDictionary()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(f"{BASE_PATH}/{{method}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        try:
            peer = self._caller(request)
            if name not in self._endpoints:
                raise MalformedMessageError("method", f"there is no {name[:64]!r}")
            answer = await self._endpoints[name].answer(peer, await request.read())
        except MalformedMessageError as error:
            return _refused(400, MalformedMessageError, str(error))
        except UnauthorisedError as error:
            return _refused(401, UnauthorisedError, str(error))
        except KmsError as error:
            kind = next((k for k in type(error).__mro__ if k.__name__ in _ERRORS), ExchangeError)
            return _refused(409, kind, str(error))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 -- whatever it is, the operator reads of it and the caller gets an answer
            _log.exception("a bug of ours: %s could not be answered", name)
            return _refused(500, KmsError, "an internal error; see that KME's log")
        return _json(200, answer)

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


def _refused(status: int, kind: type[Any], message: str) -> web.Response:
    return _json(status, Refusal(error=kind.__name__, message=message))


def _json(status: int, body: Message) -> web.Response:
    return web.Response(status=status, body=body.model_dump_json().encode(), content_type="application/json")
