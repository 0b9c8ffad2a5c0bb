"""A real KMS on 127.0.0.1, in a thread of this process, with certificates and a plain HTTPS client."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kms.config import KmsConfig, parse_config
from kms.pki import authority
from kms.process import RunningKms, start
from tests.support.wait import PATIENCE

# Three sites in a row. Links east of metro1 share no section with those west of it.
SITES = ("cell1", "metro1", "core1")
SECTIONS = (
    {"id": "s1", "a": "room1", "b": "tn1", "length_km": 5.0},
    {"id": "s2", "a": "tn1", "b": "room2", "length_km": 5.0},
    {"id": "s3", "a": "metro1", "b": "core1", "length_km": 5.0},
)
LINKS = (
    {"id": "west", "a": "cell1", "b": "metro1", "sections": ["s1", "s2"]},
    {"id": "east", "a": "core1", "b": "metro1", "sections": ["s3"]},
)


def kms_config(directory: Path, **overrides: Any) -> dict[str, Any]:
    """A configuration under ``directory``, on free ports."""
    return {
        "state_dir": str(directory / "state"),
        "pki_dir": str(directory / "pki"),
        "admin_socket": str(directory / "run" / "kms.sock"),
        "sites": [
            {"site": site, "kme_id": f"kme-{site}", "host": "127.0.0.1", "port": 0, "sae_ids": [f"sae-{site}"]}
            for site in SITES
        ],
        "sections": list(SECTIONS),
        "qkd_links": list(LINKS),
        **overrides,
    }


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class KmsWorld:
    """A KMS and those who may talk to it."""

    directory: Path
    config: KmsConfig
    urls: dict[str, str]
    kms: RunningKms | None = None

    def credentials(self, sae: str, site: str | None = None) -> Path:
        """The directory with the SAE's cert.pem, key.pem and ca.pem, issued at the first call."""
        out = self.directory / "saes" / sae
        if not out.exists():
            authority.issue_sae(self.config.pki_dir, sae, out, site)
        return out

    def tls(self, sae: str) -> ssl.SSLContext:
        """What a client needs to come as this SAE."""
        out = self.credentials(sae)
        tls = ssl.create_default_context(cafile=str(out / "ca.pem"))
        tls.load_cert_chain(out / "cert.pem", out / "key.pem")
        return tls

    def ask(
        self, site: str, sae: str, verb: str, path: str, body: Any = None, *,
        raw: bytes | None = None, content_type: str | None = "application/json",
    ) -> Answer:  # fmt: skip
        """One request to a site's KME as an SAE; ``path`` is what follows /api/v1/keys."""
        return self.ask_with(self.tls(sae), site, verb, f"/api/v1/keys{path}", body, raw=raw, content_type=content_type)

    def ask_with(
        self, tls: ssl.SSLContext, site: str, verb: str, path: str, body: Any = None, *,
        raw: bytes | None = None, content_type: str | None = "application/json",
    ) -> Answer:  # fmt: skip
        host, _, port = self.urls[site].removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=tls, timeout=10 * PATIENCE)
        payload = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if payload is not None and content_type else {}
        try:
            connection.request(verb, path, payload, headers)
            response = connection.getresponse()
            text = response.read()
            return Answer(response.status, json.loads(text) if text else None, dict(response.getheaders()))
        finally:
            connection.close()

    def enc(self, site: str, sae: str, slave: str, **body: Any) -> Answer:
        return self.ask(site, sae, "POST", f"/{slave}/enc_keys", body)

    def dec(self, site: str, sae: str, master: str, *key_ids: str) -> Answer:
        return self.ask(site, sae, "POST", f"/{master}/dec_keys", {"key_IDs": [{"key_ID": k} for k in key_ids]})

    def admin(self, verb: str, path: str, body: Any = None) -> Answer:
        return ask_admin(Path(self.config.admin_socket), verb, path, body)


def ask_admin(socket_path: Path, verb: str, path: str, body: Any = None) -> Answer:
    connection = http.client.HTTPConnection("localhost", timeout=10 * PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(socket_path))
    try:
        connection.request(verb, path, None if body is None else json.dumps(body).encode())
        response = connection.getresponse()
        text = response.read()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return Answer(response.status, json.loads(text) if is_json else text.decode())
    finally:
        connection.close()


@contextmanager
def running_kms(directory: Path, **overrides: Any) -> Iterator[KmsWorld]:
    """A KMS that serves inside the block."""
    config = parse_config(json.dumps(kms_config(directory, **overrides)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kms-under-test")
    thread.start()
    try:
        kms = asyncio.run_coroutine_threadsafe(start(config), loop).result(timeout=20 * PATIENCE)
        try:
            yield KmsWorld(directory, config, kms.urls, kms)
        finally:
            asyncio.run_coroutine_threadsafe(kms.close(), loop).result(timeout=20 * PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20 * PATIENCE)
        loop.close()


def only_key(answer: Answer) -> tuple[str, bytes]:
    """Its id and octets, where the answer holds one key and no more."""
    assert answer.status == 200, answer.body
    (entry,) = answer.body["keys"]
    return entry["key_ID"], base64.b64decode(entry["key"], validate=True)
