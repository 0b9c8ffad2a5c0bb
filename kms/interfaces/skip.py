"""Cisco's Secure Key Integration Protocol (draft-cisco-skip-02): what routers speak to have a PPK for RFC 8784.

GET only: ``/capabilities``, ``/key``, ``/key/{keyId}``, ``/entropy``. The draft's key provider belongs to one
encryptor; ours are told apart by their certificates, so a system's id is its SAE id. Keys and their ids are in hex.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable

from aiohttp import web

from kms.delivery.key_delivery import KeyService
from kms.delivery.requests import EncRequest
from kms.errors import RequestError

KEY_SIZES = (128, 256)  # bits, of which the first entropy request's default is the last
DEFAULT_BITS = 256
MAX_ENTROPY_BITS = 8_192
_KEY_ID = re.compile("[0-9a-fA-F]{32}")  # no digits of other scripts, which int() would take

Identify = Callable[[web.Request], str]


class Skip:
    """The adapter of one site's KME."""

    def __init__(self, site: str, service: KeyService, peers: Callable[[], Iterable[str]]) -> None:
        """``peers`` lists the SAEs that there are."""
        self._site = site
        self._service = service
        self._peers = peers
        self._caller_of: Identify

    def add_routes(self, app: web.Application, caller_of: Identify) -> None:
        self._caller_of = caller_of
        app.router.add_get("/capabilities", self._capabilities, allow_head=False)
        app.router.add_get("/key", self._new_key, allow_head=False)
        app.router.add_get("/key/{keyId}", self._key, allow_head=False)
        app.router.add_get("/entropy", self._entropy, allow_head=False)

    async def _capabilities(self, request: web.Request) -> web.Response:
        _query(request, ())
        caller = self._caller_of(request)
        remote = sorted(set(self._peers()) - {caller})
        algorithm = self._service.default_source.label.upper()
        return _answer(
            {"entropy": True, "key": True, "algorithm": algorithm, "localSystemID": caller, "remoteSystemID": remote}
        )

    async def _new_key(self, request: web.Request) -> web.Response:
        query = _query(request, ("remoteSystemID", "size"))
        size = _bits(query.get("size", str(DEFAULT_BITS)), "size")
        if size not in KEY_SIZES:
            raise RequestError(f"size: one of {', '.join(map(str, KEY_SIZES))} bits")
        remote = _required(query, "remoteSystemID")
        (key,) = await self._service.enc_keys(self._site, self._caller_of(request), remote, EncRequest(1, size))
        return _answer({"keyId": key.key_id.hex, "key": key.key.hex()})

    async def _key(self, request: web.Request) -> web.Response:
        query = _query(request, ("remoteSystemID",))
        text = request.match_info["keyId"]
        if not _KEY_ID.fullmatch(text):
            raise RequestError("keyId: 32 hexadecimal digits")
        key_id = uuid.UUID(hex=text)
        remote = _required(query, "remoteSystemID")
        (key,) = await self._service.dec_keys(self._site, self._caller_of(request), remote, [key_id])
        return _answer({"keyId": key.key_id.hex, "key": key.key.hex()})

    async def _entropy(self, request: web.Request) -> web.Response:
        query = _query(request, ("minentropy",))
        bits = _bits(query.get("minentropy", str(DEFAULT_BITS)), "minentropy")
        if not 0 < bits <= MAX_ENTROPY_BITS:
            raise RequestError(f"minentropy: 1 to {MAX_ENTROPY_BITS} bits")
        drawn = self._service.random_bytes(-(-bits // 8))
        return _answer({"randomStr": drawn.hex(), "minentropy": 8 * len(drawn)})


def _query(request: web.Request, allowed: tuple[str, ...]) -> dict[str, str]:
    pairs = list(request.query.items())
    values = dict(pairs)
    if len(values) != len(pairs) or set(values) - set(allowed):
        raise RequestError("a parameter is unknown or given twice")
    return values


def _required(query: dict[str, str], name: str) -> str:
    if name not in query:
        raise RequestError(f"{name}: it is required")
    return query[name]


def _bits(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RequestError(f"{name}: a number of bits")
    return int(text)


def _answer(body: dict[str, object]) -> web.Response:
    return web.json_response(body, headers={"Cache-Control": "no-store"})
