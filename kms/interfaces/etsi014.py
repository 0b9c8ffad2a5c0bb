"""ETSI GS QKD 014 over HTTPS: one listener per KME, mutual TLS, the SAE's identity from its certificate.

A client without a certificate of our authority does not get past the TLS handshake. Every answer to one that does is
JSON; every refusal is an Error body (6.5), on 401 too, because clients parse it.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aiohttp import web

from kms.delivery.key_delivery import KeyService
from kms.errors import ExhaustedError, KmsError, RequestError, UnauthorisedError
from kms.event_log import EventLog, Notification
from kms.interfaces import etsi014_schema
from kms.interfaces.etsi014_openapi import openapi_document
from kms.keys.inventory import PoolState
from kms.keys.sae_id import is_sae_id
from kms.pki.authority import SAE_URN, SITE_URN
from kms.pki.revocation import Revocations

_log = logging.getLogger(__name__)

BASE_PATH = "/api/v1/keys"
OPENAPI_PATH = "/api/v1/openapi.json"  # not of the standard: what this KME understands of it
KEEP_ALIVE_S = 75.0
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
SHUTDOWN_S = 1.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Caller:
    """Who a client certificate says its holder is; ``site`` is the binding in it, if any. Times since the epoch."""

    sae_id: str
    site: str | None
    serial: int = 0
    expires_at: float = float("inf")


_CALLER = web.RequestKey("caller", Caller)


def identify(certificate: dict[str, Any] | None) -> Caller:
    """The SAE that a verified certificate (as ``ssl.SSLObject.getpeercert`` gives it) names; else UnauthorisedError."""
    if not certificate:
        raise UnauthorisedError("a client certificate is required")
    names = [value for relative in certificate.get("subject", ()) for kind, value in relative if kind == "commonName"]
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    sites = [uri.removeprefix(SITE_URN) for uri in uris if uri.startswith(SITE_URN)]
    if len(names) != 1 or not is_sae_id(names[0]) or SAE_URN + names[0] not in uris or len(sites) > 1:
        raise UnauthorisedError("the client certificate is not an SAE's")
    return Caller(
        names[0],
        sites[0] if sites else None,
        int(certificate["serialNumber"], 16),
        ssl.cert_time_to_seconds(certificate["notAfter"]),
    )


class Adapter(Protocol):
    """A further interface over the same keys (:mod:`kms.interfaces.etsi004`, :mod:`kms.interfaces.skip`)."""

    def add_routes(self, app: web.Application, caller_of: Callable[[web.Request], str]) -> None:
        """``caller_of`` says which SAE a request comes from."""


class Etsi014Server:
    """The HTTP face of one site's KME."""

    def __init__(
        self,
        site: str,
        service: KeyService,
        revocations: Revocations,
        clock: Callable[[], float] = time.time,
        adapters: Sequence[Adapter] = (),
        may_ask: Callable[[str], bool] = lambda sae: True,
        events: EventLog | None = None,
    ) -> None:
        """``may_ask`` limits how often an SAE asks; ``adapters`` are further interfaces on the same listener."""
        self._adapters = adapters
        self._may_ask = may_ask
        self._events = events
        self.site = site
        self._service = service
        self._revocations = revocations
        self._clock = clock
        self._identify: Callable[[web.Request], Caller] = self._by_certificate
        self._callers: WeakKeyDictionary[ssl.SSLObject, Caller] = WeakKeyDictionary()
        self.answers: Counter[tuple[str, int]] = Counter()  # by method and HTTP status

    def application(self, identify: Callable[[web.Request], Caller] | None = None) -> web.Application:
        """``identify`` stands in for the TLS certificate where there is no TLS."""
        self._identify = identify or self._identify
        app = web.Application(
            client_max_size=self._service.limits.max_body_bytes, middlewares=[self._answer_errors, self._authenticate]
        )
        sae = f"{BASE_PATH}/{{sae}}"
        # Paths are tried in this order: those that are asked for a thousand times a second come first.
        app.router.add_get(f"{sae}/enc_keys", self._enc_keys, allow_head=False)
        app.router.add_post(f"{sae}/enc_keys", self._enc_keys)
        app.router.add_get(f"{sae}/dec_keys", self._dec_keys, allow_head=False)
        app.router.add_post(f"{sae}/dec_keys", self._dec_keys)
        app.router.add_get(f"{sae}/status", self._status, allow_head=False)
        app.router.add_get(OPENAPI_PATH, self._openapi, allow_head=False)
        for adapter in self._adapters:
            adapter.add_routes(app, lambda request: request[_CALLER].sae_id)
        return app

    async def _openapi(self, request: web.Request) -> web.Response:
        return _json(200, openapi_document(self._service.limits))

    # Methods (clause 5)

    async def _status(self, request: web.Request) -> web.Response:
        caller = request[_CALLER]
        if request.query_string:
            raise RequestError("status takes no parameters")
        status = self._service.status(self.site, caller.sae_id, request.match_info["sae"])
        limits = self._service.limits
        return _json(
            200,
            {
                "source_KME_ID": status.source_kme,
                "target_KME_ID": status.target_kme,
                "master_SAE_ID": status.master,
                "slave_SAE_ID": status.slave,
                "key_size": limits.key_size,
                "stored_key_count": status.stored_key_count,
                "max_key_count": limits.max_key_count,
                "max_key_per_request": limits.max_key_per_request,
                "max_key_size": limits.max_key_size,
                "min_key_size": limits.min_key_size,
                "max_SAE_ID_count": limits.max_sae_id_count,
                "status_extension": {
                    "default_key_source": self._service.default_source.label,
                    "stored_key_count": dict(status.stored_by_source),
                    "pool_state": PoolState.of(status.stored_key_count, limits.pool_target).value,
                },
            },
        )

    async def _enc_keys(self, request: web.Request) -> web.Response:
        caller = request[_CALLER]
        limits = self._service.limits
        if request.method == "GET":
            parsed = etsi014_schema.parse_key_query(list(request.query.items()), limits)
        else:
            parsed = etsi014_schema.parse_key_request(await _body(request, may_be_empty=True), limits)
        keys = await self._service.enc_keys(self.site, caller.sae_id, request.match_info["sae"], parsed)
        return _json(200, etsi014_schema.key_container(keys))

    async def _dec_keys(self, request: web.Request) -> web.Response:
        caller = request[_CALLER]
        if request.method == "GET":
            key_ids = etsi014_schema.parse_key_id_query(list(request.query.items()))
        else:
            key_ids = etsi014_schema.parse_key_ids(await _body(request, may_be_empty=False), self._service.limits)
        keys = await self._service.dec_keys(self.site, caller.sae_id, request.match_info["sae"], key_ids)
        return _json(200, etsi014_schema.key_container(keys))

    # Around every method

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        name = "other" if resource is None else resource.canonical.rpartition("/")[2]
        try:
            response = await handler(request)
        except KmsError as error:
            status = etsi014_schema.http_status(error)
            if status == 401 and self._events is not None:
                caller = request.get(_CALLER)
                about = {"site": self.site, "method": name, "reason": str(error)}
                who = {} if caller is None else {"sae": caller.sae_id}
                self._events.tell(self._clock(), Notification.REFUSED, **about, **who)
            if status == 503:
                _log.warning("%s at %s: %s", name, self.site, error)
            response = _json(status, etsi014_schema.error_body(error))
        except web.HTTPRequestEntityTooLarge:
            response = _json(400, {"message": f"the body exceeds {self._service.limits.max_body_bytes} bytes"})
        except web.HTTPMethodNotAllowed as error:
            response = _json(405, {"message": f"{error.method} is not allowed here"})
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        except web.HTTPException:
            # The API knows no 404 (clause 5): a path that it does not have is a bad request. SKIP does know it.
            is_api = request.path.startswith("/api/")
            message = "no such method: status, enc_keys and dec_keys of an SAE are there"
            response = _json(400 if is_api else 404, {"message": message if is_api else "no such path"})
        self.answers[name, response.status] += 1
        return response

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        caller = self._identify(request)
        if caller.expires_at < self._clock():
            raise UnauthorisedError("the client certificate has expired")
        if self._revocations.is_revoked(caller.serial):
            raise UnauthorisedError("the client certificate was revoked")
        if not self._may_ask(caller.sae_id):
            raise ExhaustedError(f"SAE {caller.sae_id} asks too often")
        await self._service.admit(self.site, caller.sae_id, caller.site)
        request[_CALLER] = caller
        return await handler(request)

    def _by_certificate(self, request: web.Request) -> Caller:
        """Who is at the other end; the certificate is read once per connection."""
        transport = request.transport
        if transport is None:
            raise UnauthorisedError("the connection is gone")
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return identify(None)
        caller = self._callers.get(tls)
        if caller is None:
            caller = self._callers[tls] = identify(tls.getpeercert())
        return caller


async def _body(request: web.Request, may_be_empty: bool) -> bytes:
    if request.query_string:
        raise RequestError("POST takes its parameters in the body")
    body = await request.read()
    if not body and may_be_empty:
        return body
    if request.content_type != "application/json":
        raise RequestError("the content type shall be application/json")
    # JSON has no charset parameter (RFC 8259, 11): a client that sends one all the same spells it as it likes.
    charset = request.charset
    if charset is not None and charset.lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
        raise RequestError("the body shall be in UTF-8")
    return body


def _json(status: int, body: dict[str, Any] | bytes) -> web.Response:
    return web.Response(
        status=status,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers=_HEADERS,
    )
