"""Keys of a vendor's KMEs in the place of an exchange of our own: ETSI GS QKD 014 v1.1.1, as an SAE at either end.

The offer is the id of a key that the KME of one end has delivered; the answer fetches the same key from the KME of the
other. Where the KMEs are stands in a JSON file that the variable QSLICE_UPSTREAM names:

    {"master": {"url": "https://10.0.0.1:443", "sae": "qslice-a", "cert": "a.pem", "key": "a.key", "ca": "ca.pem"},
     "slave":  {"url": "https://10.0.0.2:443", "sae": "qslice-b", "cert": "b.pem", "key": "b.key", "ca": "ca.pem"}}

Files are those of the folder of that file. One such pair serves all pairs of sites: at which level, the operator says.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scripts.extensions.api import EXTENSION_API, SourceAnswer, SourceOffer

VARIABLE = "QSLICE_UPSTREAM"
TIMEOUT_S = 10.0  # the deadline of whoever asks is shorter, unless it is told otherwise
KEY_BITS = 256


class NotConfigured(Exception):
    """QSLICE_UPSTREAM names no file that says where the KMEs are."""


class Unreachable(Exception):
    """The KME does not answer, or is not who it should be."""


class OutOfKeys(Exception):
    """The KME has no key now (503)."""


class Refused(Exception):
    """The KME refuses, or answers what the standard does not know."""


@dataclass(frozen=True)
class Kme:
    """A KME as one of our SAEs sees it."""

    url: str
    sae: str
    tls: ssl.SSLContext

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Its answer. Raises Unreachable, OutOfKeys, Refused."""
        address = urlsplit(self.url)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port or 443, timeout=TIMEOUT_S, context=self.tls
        )
        try:
            payload = json.dumps(body)
            connection.request(method, f"/api/v1/keys/{path}", payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(1 << 20)
        except (OSError, http.client.HTTPException):
            raise Unreachable from None
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise OutOfKeys
        if answer.status != http.HTTPStatus.OK:
            raise Refused
        try:
            return json.loads(text)
        except ValueError:
            raise Refused from None


class Etsi014Upstream:
    """A key of the vendor's for every exchange."""

    name = "etsi014-upstream"
    version = "1.0"
    api = EXTENSION_API

    def __init__(self) -> None:
        self._kmes: tuple[Kme, Kme] | None = None

    def offer(self, entropy: str) -> SourceOffer:
        master, slave = self._ends()
        key_id, secret = _only_key(master.call("POST", f"{quote(slave.sae, safe='')}/enc_keys", _REQUEST))
        return SourceOffer(key_id.encode().hex(), secret)

    def answer(self, entropy: str, message: str) -> SourceAnswer:
        master, slave = self._ends()
        wanted = bytes.fromhex(message).decode()
        body = {"key_IDs": [{"key_ID": wanted}]}
        key_id, secret = _only_key(slave.call("POST", f"{quote(master.sae, safe='')}/dec_keys", body))
        if key_id != wanted:
            raise Refused
        return SourceAnswer(message, secret)

    def finish(self, state: str, message: str) -> str:
        return state

    def _ends(self) -> tuple[Kme, Kme]:
        if self._kmes is None:
            try:
                file = Path(os.environ[VARIABLE])
                raw = json.loads(file.read_text(encoding="utf-8"))
                self._kmes = _kme(raw["master"], file.parent), _kme(raw["slave"], file.parent)
            except (KeyError, OSError, ValueError, TypeError):
                raise NotConfigured from None
        return self._kmes


_REQUEST = {"number": 1, "size": KEY_BITS}


def _kme(raw: dict[str, str], folder: Path) -> Kme:
    tls = ssl.create_default_context(cafile=str(folder / raw["ca"]))
    tls.load_cert_chain(folder / raw["cert"], folder / raw["key"])
    return Kme(raw["url"], raw["sae"], tls)


def _only_key(document: Any) -> tuple[str, str]:
    """Id and key, as hexadecimal digits, of an answer with one key."""
    try:
        (key,) = document["keys"]
        secret = base64.b64decode(key["key"], validate=True)
        return str(key["key_ID"]), secret.hex()
    except (KeyError, TypeError, ValueError):
        raise Refused from None
