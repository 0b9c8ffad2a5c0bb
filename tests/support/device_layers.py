"""The papers' layers in one process: REST, NETCONF over SSH on the loopback, and devices over switches in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from controller.device_model.entries import SwitchModel
from controller.device_model.kinds import DeviceKind
from controller.forwarding.intended import Changes
from controller.forwarding.items import Item
from controller.layers.device.bridge import BridgeRefused
from controller.layers.device.running import Running
from controller.layers.device.schema import Schema
from controller.layers.device.server import NetconfServer
from controller.layers.network.config import DeviceAddress
from controller.layers.network.devices import Devices
from controller.layers.network.rest import RestServer
from controller.southbound.device_layer import DeviceLayer, LayerTerms
from scripts.testbed.life.devices import make_keys
from scripts.testbed.paths import Layout
from tests.support.fake_switches import FakeSwitches, FakeTable
from topologies.spec import Topology

TOKEN = "of the layer"
HOST = "127.0.0.1"


class TableBridge:
    """A switch in memory as a device sees its bridge. ``refuse`` says why it will not have a change; None: it will."""

    def __init__(self, table: FakeTable) -> None:
        self._table = table
        self.refuse: Callable[[Changes], str | None] = lambda changes: None
        self.changes: list[Changes] = []

    def installed(self) -> Iterable[Item]:
        return tuple(self._table.items.values())

    def ports(self) -> dict[int, Any]:
        return {}

    def change(self, changes: Changes) -> None:
        why = self.refuse(changes)
        errors = [why] if why is not None else self._table.apply(changes)
        self.changes.append(changes)
        if errors:
            raise BridgeRefused("; ".join(errors))


class Layers:
    """Use it as a context manager. A device can be stopped and started again at its address.

    ``takes_s`` is how long devices are made to take, ``deadline_s`` how long they may take beside it.
    """

    def __init__(
        self,
        topology: Topology,
        switches: FakeSwitches,
        directory: Path,
        takes_s: dict[DeviceKind, float] | None = None,
        deadline_s: float = 20.0,
    ) -> None:
        self._topology, self._layout = topology, Layout(directory, directory / "run")
        directory.mkdir(parents=True, exist_ok=True)
        self._takes_s = takes_s or {}
        self._deadline_s = deadline_s
        self._stack = ExitStack()
        self._schema = Schema()
        self._keys = make_keys(self._layout, topology.site_names)
        self.bridges = {site: TableBridge(switches.tables[site]) for site in topology.site_names}
        self.servers: dict[str, NetconfServer] = {}
        self.running: dict[str, Running] = {}

    def __enter__(self) -> Layers:
        for site in self._topology.site_names:
            self.start(site)
        addresses = {
            site: DeviceAddress(host=HOST, port=server.address[1], host_key=self._keys[site])
            for site, server in self.servers.items()
        }
        self.devices = Devices(addresses, self.client_key)
        self.rest = RestServer((HOST, 0), self.devices, TOKEN)
        threading.Thread(target=self.rest.serve_forever, daemon=True).start()
        self._stack.callback(self.rest.server_close)
        self._stack.callback(self.rest.shutdown)
        terms = LayerTerms(HOST, self.rest.server_address[1], TOKEN, self._deadline_s, self._takes_s)
        self.client = DeviceLayer(self._topology, terms)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for site in list(self.servers):
            self.stop(site)

    @property
    def client_key(self) -> Path:
        return self._layout.device_keys / "controller-layer"

    def host_key(self, site: str) -> str:
        return self._keys[site]

    def start(self, site: str) -> None:
        """At the address that it had before, if it had one."""
        port = self.servers[site].address[1] if site in self.servers else 0
        folder = self._layout.device_keys
        numbers = {p.interface: p.number for p in self._topology.ports(site)}
        self.running[site] = Running(
            SwitchModel(site, numbers), self._schema, self.bridges[site], self._takes_s,
            has_optical_switch=self._topology.site(site).optical_switch, sleep=time.sleep,
        )  # fmt: skip
        self.servers[site] = NetconfServer(
            (HOST, port), folder / f"device-{site}", folder / "authorized_keys", self.running[site], self._schema
        )
        threading.Thread(target=self.servers[site].serve, daemon=True).start()

    def stop(self, site: str) -> None:
        """With the sessions that it has, as when its process dies."""
        self.servers[site].close()
