"""The controller layer's REST interface: PATCH of a device's configuration answers 204 (paper 001, Fig. 8).

After RFC 8040. Its plain patch (4.6.1) cannot take anything away; so here, as in the papers' controller, the body may
say ``operation`` at entries as NETCONF does (RFC 6241, 7.2). How long an answer is waited for is said by ``Prefer:
wait=SECONDS`` (RFC 7240, 4.3). Errors are those of RFC 8040, 7.1, times those of Server-Timing.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from lxml import etree

from controller.device_model.edits import NETCONF
from controller.layers.network.devices import DeviceError, Devices

log = logging.getLogger(__name__)
XML, JSON = "application/yang-data+xml", "application/yang-data+json"
DEVICE = re.compile(r"^/restconf/data/qslice-devices:devices/device=([^/?]+)/config$")
LIST = "/restconf/data/qslice-devices:devices"
MAX_BODY = 4 << 20
DEFAULT_WAIT_S = 30.0
MAX_WAIT_S = 3600.0
IDLE_S = 60.0


class RestServer(ThreadingHTTPServer):
    """Listens from the moment it is made."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], devices: Devices, token: str) -> None:
        self.devices, self._token = devices, token
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Of a client that left before its answer came, or a mistake of ours."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.info("%s: %s", client_address, error)
        else:
            log.exception("a request failed")

    def is_allowed(self, authorization: str | None) -> bool:
        scheme, _, token = (authorization or "").partition(" ")
        is_ours = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return is_ours and scheme.lower() == "bearer"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "qslice-controller-layer", ""
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: RestServer

    def do_GET(self) -> None:
        self._serve(self._get)

    def do_PATCH(self) -> None:
        self._serve(self._patch)

    def _serve(self, operation: Callable[[], None]) -> None:
        try:
            if not self.server.is_allowed(self.headers.get("Authorization")):
                raise DeviceError(401, "access-denied", "this needs the token of the controller layer")
            operation()
        except DeviceError as error:
            log.info("%s %s: %d: %s", self.command, self.path, error.status, error.message)
            # What of the body was not read must not be taken for the next request.
            self.close_connection = True
            self._answer(error.status, json.dumps(_errors(error)).encode(), JSON)

    def _get(self) -> None:
        if self.path == LIST:
            names = [{"name": name} for name in self.server.devices.names]
            self._answer(200, json.dumps({"qslice-devices:devices": {"device": names}}).encode(), JSON)
            return
        self._answer(200, self.server.devices.configuration(self._device(), self._wait_s()), XML)

    def _patch(self) -> None:
        name, body = self._device(), self._body()
        timing = self.server.devices.configure(name, body, self._wait_s())
        log.info("device %s: configured in %.3f s", name, timing.connect_s + timing.edit_s)
        self.send_response(204)
        self.send_header(
            "Server-Timing", f"connect;dur={timing.connect_s * 1000:.3f}, device;dur={timing.edit_s * 1000:.3f}"
        )
        self.end_headers()

    def _device(self) -> str:
        found = DEVICE.match(self.path)
        if found is None:
            raise DeviceError(404, "invalid-value", f"there is no {self.path}")
        return unquote(found[1])

    def _wait_s(self) -> float:
        found = re.search(r"\bwait=([0-9]+(?:\.[0-9]+)?)\b", self.headers.get("Prefer", ""))
        return min(float(found[1]), MAX_WAIT_S) if found else DEFAULT_WAIT_S

    def _body(self) -> bytes:
        kind = self.headers.get_content_type()
        if kind != XML:
            raise DeviceError(415, "invalid-value", f"{kind}: the body must be {XML}")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise DeviceError(411, "invalid-value", "Content-Length is needed")
        if int(length) > MAX_BODY:
            raise DeviceError(413, "too-big", f"a body of more than {MAX_BODY} octets")
        body = self.rfile.read(int(length))
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        try:
            root = etree.fromstring(body, parser)
        except etree.XMLSyntaxError as error:
            raise DeviceError(400, "malformed-message", f"not XML: {error}") from error
        if root.tag != f"{{{NETCONF}}}config" or root.getroottree().docinfo.doctype:
            raise DeviceError(400, "malformed-message", "the body must be a <config> of NETCONF")
        return body

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="qslice controller layer"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug(format, *arguments)


def _errors(error: DeviceError) -> dict[str, object]:
    told = {"error-type": "application", "error-tag": error.tag, "error-message": error.message}
    if error.path:
        told["error-path"] = error.path
    return {"ietf-restconf:errors": {"error": [told]}}
