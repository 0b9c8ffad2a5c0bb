"""Devices configured through the controller layer: a PATCH for each, answered by 204 (paper 001, Fig. 8)."""

from __future__ import annotations

import http.client
import json
import re
import socket
from dataclasses import dataclass
from urllib.parse import quote

from controller.device_model.edits import config_xml, edits_of
from controller.device_model.entries import Foreign, SwitchModel
from controller.device_model.kinds import DeviceKind, kind_of
from controller.forwarding.intended import Changes
from controller.model.errors import DeviceFailed
from controller.model.provisioning_trace import DeviceTimes
from topologies.spec import Topology

MAX_ANSWER_BYTES = 1 << 20
# What the layer itself needs beyond the time that it gives the device.
BESIDE_S = 2.0
_TIMES = re.compile(r"\b(connect|device);dur=([0-9.]+)")


@dataclass(frozen=True)
class LayerTerms:
    """Where the controller layer is, and how devices are asked."""

    host: str
    port: int
    token: str
    deadline_s: float
    """How long a device may take for a step, beside what it is said to need."""
    takes_s: dict[DeviceKind, float]
    """How long a device of each kind is said to need for a step."""


class DeviceLayer:
    """Implements :class:`controller.operations.drivers.Devices`."""

    def __init__(self, topology: Topology, terms: LayerTerms) -> None:
        self._terms = terms
        self._models = {
            site: SwitchModel(site, {port.interface: port.number for port in topology.ports(site)})
            for site in topology.site_names
        }
        self._optical = {site.name: site.optical_switch for site in topology.sites}

    def configure(self, site: str, changes: Changes) -> DeviceTimes:
        model = self._models[site]
        try:
            edits = edits_of(model, changes)
        except Foreign as error:
            raise DeviceFailed(site, str(error)) from error
        kind = kind_of(edits, model.interfaces[0], has_optical_switch=self._optical[site])
        planned = DeviceTimes(kind.value, self._terms.takes_s.get(kind, 0.0), len(edits))
        wait_s = self._terms.deadline_s + planned.simulated_s
        return self._patch(site, config_xml(edits), planned, wait_s)

    def _patch(self, site: str, body: bytes, planned: DeviceTimes, wait_s: float) -> DeviceTimes:
        terms = self._terms
        connection = http.client.HTTPConnection(terms.host, terms.port, timeout=wait_s + BESIDE_S)
        headers = {
            "Authorization": f"Bearer {terms.token}",
            "Content-Type": "application/yang-data+xml",
            "Prefer": f"wait={wait_s:g}",
        }
        path = f"/restconf/data/qslice-devices:devices/device={quote(site, safe='')}/config"
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body go in two writes
            connection.request("PATCH", path, body, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise DeviceFailed(site, f"the controller layer: {error or type(error).__name__}", planned) from error
        finally:
            connection.close()
        if response.status != 204:
            raise DeviceFailed(site, f"{response.status} {_told(answer)}", planned)
        took = {name: float(ms) / 1000 for name, ms in _TIMES.findall(response.headers.get("Server-Timing", ""))}
        return DeviceTimes(
            planned.kind, planned.simulated_s, planned.entries, took.get("connect", 0.0), took.get("device", 0.0)
        )  # fmt: skip


def _told(answer: bytes) -> str:
    """What an error document says (RFC 8040, 7.1)."""
    try:
        error = json.loads(answer)["ietf-restconf:errors"]["error"][0]
        return f"{error['error-tag']}: {error['error-message']}"
    except (ValueError, KeyError, IndexError, TypeError):
        return "with no word that can be read"
