"""A KME of ETSI GS QKD 014 that is right but for the faults it is told to have; each is one that vendors' had."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from kms.pki import authority
from tests.support.wait import PATIENCE

FAULTS: dict[str, frozenset[str]] = {
    "wrong base64": frozenset({"key-base64"}),
    "wrong key size": frozenset({"key-size"}),
    "same key twice": frozenset({"keys-differ"}),
    "same key_ID twice": frozenset({"key-ids-differ", "twins-equal", "delivered-once"}),
    "key_ID no UUID": frozenset({"key-id"}),
    "ends differ": frozenset({"twins-equal"}),
    "delivered twice": frozenset({"delivered-once"}),
    "status lacks fields": frozenset({"status-fields"}),
    "status of wrong types": frozenset({"status-types"}),
    "status names others": frozenset({"status-identities"}),
    "unknown key is 404": frozenset({"unknown-key", "delivered-once", "one-missing"}),
    "no client certificate": frozenset({"client-certificate"}),
    "error is text": frozenset({"error-body"}),
    "one key instead of two": frozenset({"key-number"}),
    "size not checked": frozenset({"size-no-octets"}),
    "mandatory ignored": frozenset({"mandatory-unknown"}),
    "optional refused": frozenset({"optional-unknown"}),
    "anybody fetches": frozenset({"not-named"}),
    "part of the keys": frozenset({"one-missing"}),
    "bad JSON taken": frozenset({"malformed"}),
    "content type of text": frozenset({"json"}),
}
"""Each fault, and the checks that must fail for it: those and no others."""


@dataclass
class WrongKme:
    """What it does. ``slow_s`` delays each answer; ``stock`` is how many keys there are (None: no end)."""

    fault: str = ""
    slow_s: float = 0.0
    stock: int | None = None
    held: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    same: str = base64.b64encode(bytes(range(32))).decode()
    same_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def application(self) -> web.Application:
        app = web.Application()
        base = "/api/v1/keys/{sae}"
        app.router.add_get(f"{base}/status", self._status)
        for verb in ("GET", "POST"):
            app.router.add_route(verb, f"{base}/enc_keys", self._enc_keys)
            app.router.add_route(verb, f"{base}/dec_keys", self._dec_keys)
        return app

    async def _status(self, request: web.Request) -> web.Response:
        caller = await self._caller(request)
        if caller is None:
            return self._error(401, "no certificate")
        document: dict[str, Any] = {
            "source_KME_ID": "kme-a", "target_KME_ID": "kme-b", "master_SAE_ID": caller,
            "slave_SAE_ID": request.match_info["sae"], "key_size": 256, "stored_key_count": self.stock or 25,
            "max_key_count": 100, "max_key_per_request": 8, "max_key_size": 512, "min_key_size": 64,
            "max_SAE_ID_count": 0,
        }  # fmt: skip
        if self.fault == "status lacks fields":
            del document["max_SAE_ID_count"], document["stored_key_count"]
        if self.fault == "status of wrong types":
            document["stored_key_count"] = "25"
        if self.fault == "status names others":
            document["slave_SAE_ID"] = caller
        return self._json(document)

    async def _enc_keys(self, request: web.Request) -> web.Response:
        caller = await self._caller(request)
        if caller is None:
            return self._error(401, "no certificate")
        asked: dict[str, Any] = {name: int(value) for name, value in request.query.items()}
        text = await request.read()
        try:
            asked |= json.loads(text) if text else {}
        except ValueError:
            if self.fault != "bad JSON taken":
                return self._error(400, "the body is no JSON")
        if asked.get("extension_mandatory") and self.fault != "mandatory ignored":
            return self._error(400, "not all extension_mandatory parameters are supported")
        if asked.get("extension_optional") and self.fault == "optional refused":
            return self._error(400, "extensions are not supported")
        size, number = asked.get("size", 256), asked.get("number", 1)
        if size % 8:
            if self.fault != "size not checked":
                return self._error(400, "size shall be a multiple of 8")
            size -= size % 8
        if self.fault == "one key instead of two":
            number = 1
        if self.stock is not None:
            if self.stock < number:
                return self._error(503, "no key is left")
            self.stock -= number
        return self._json({"keys": [self._make(caller, request.match_info["sae"], size) for _ in range(number)]})

    def _make(self, master: str, slave: str, size: int) -> dict[str, str]:
        if self.fault == "wrong key size":
            size //= 2
        key_id, key = str(uuid.uuid4()), base64.b64encode(os.urandom(size // 8)).decode()
        if self.fault == "same key twice" and size == 256:
            key = self.same
        if self.fault == "same key_ID twice":
            key_id = next((each for each, (_, _, _) in self.held.items()), key_id) if size == 256 else key_id
        if self.fault == "key_ID no UUID":
            key_id = f"key-{key_id[:8]}"
        if self.fault == "wrong base64":
            key = "*" + key[1:]
        self.held[key_id] = (master, slave, key)
        return {"key_ID": key_id, "key": key}

    async def _dec_keys(self, request: web.Request) -> web.Response:
        caller, master = await self._caller(request), request.match_info["sae"]
        if caller is None:
            return self._error(401, "no certificate")
        if request.method == "GET":
            ids = [request.query["key_ID"]]
        else:
            ids = [entry["key_ID"] for entry in (await request.json())["key_IDs"]]
        known = [key_id for key_id in ids if key_id in self.held]
        if len(known) < len(ids) and (self.fault != "part of the keys" or not known):
            status = 404 if self.fault == "unknown key is 404" else 400
            return self._error(status, "one or more keys specified are not found on KME")
        if self.fault != "anybody fetches" and any(self.held[each][:2] != (master, caller) for each in known):
            return self._error(401, "the key is somebody else's")
        keys = []
        for key_id in known:
            key = self.held[key_id][2]
            if self.fault not in ("delivered twice", "same key_ID twice"):
                del self.held[key_id]
            if self.fault == "ends differ":
                key = base64.b64encode(bytes(len(base64.b64decode(key)))).decode()
            keys.append({"key_ID": key_id, "key": key})
        return self._json({"keys": keys})

    async def _caller(self, request: web.Request) -> str | None:
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        assert request.transport is not None
        certificate: Any = request.transport.get_extra_info("peercert")
        if not certificate:
            return "anybody" if self.fault == "no client certificate" else None
        return str(dict(pair for group in certificate["subject"] for pair in group)["commonName"])

    def _json(self, document: Any) -> web.Response:
        kind = "text/plain" if self.fault == "content type of text" else "application/json"
        return web.Response(body=json.dumps(document).encode(), content_type=kind)

    def _error(self, status: int, message: str) -> web.Response:
        if self.fault == "error is text":
            return web.Response(status=status, text=message)
        return web.json_response({"message": message}, status=status)


@contextmanager
def serving(kme: WrongKme, directory: Path, name: str = "127.0.0.1") -> Iterator[str]:
    """Its URL on 127.0.0.1 while the block runs, with a certificate for ``name`` of the authority in ``directory``."""
    authority.issue_kme(directory / "pki", "kme-wrong", [name], directory / f"kme-{name}")
    own = directory / f"kme-{name}"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own / "cert.pem", own / "key.pem")
    tls.load_verify_locations(own / "ca.pem")
    tls.verify_mode = ssl.CERT_OPTIONAL
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="wrong-kme")
    thread.start()

    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(kme.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return runner, runner.addresses[0][1]

    try:
        runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=10 * PATIENCE)
        yield f"https://127.0.0.1:{port}"
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=10 * PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10 * PATIENCE)
        loop.close()


def credentials(directory: Path, sae: str) -> Path:
    """The SAE's cert.pem, key.pem and ca.pem, of the authority in ``directory``."""
    out = directory / "saes" / sae
    if not out.exists():
        authority.issue_sae(directory / "pki", sae, out)
    return out
