"""The papers' layers below the orchestrator, where slices are set up one device after the other: who they are, their
keys and their files.

All listen on the loopback, each at an address of its own, so that a capture there tells them apart.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from controller.model.provisioning_trace import ProvisioningMode
from scripts.configuration.values import Configuration
from scripts.testbed.faults import DEVICE_PREFIX as PREFIX
from scripts.testbed.faults import LAYER
from scripts.testbed.paths import Layout, write_private
from topologies.ovsdb import database_socket
from topologies.spec import Topology

LAYER_HOST, LAYER_PORT = "127.83.0.1", 8080  # the papers' controller listens on 8080 (paper 001, Fig. 8)
FIRST_DEVICE = IPv4Address("127.83.1.1")
NETCONF_PORT = 830  # RFC 6242, 3
PROBE_S = 0.2


def names(topology: Topology, configuration: Configuration) -> tuple[str, ...]:
    """The processes that there are; none where switches are configured by OpenFlow."""
    if configuration["provisioning.mode"] != ProvisioningMode.SEQUENTIAL:
        return ()
    return (*(f"{PREFIX}{site}" for site in topology.site_names), LAYER)


def services(
    topology: Topology, layout: Layout, configuration: Configuration
) -> Iterator[tuple[str, str, dict[str, Any], Callable[[], bool]]]:
    """Name, module, configuration and readiness of each; new keys are made for all of them."""
    if not names(topology, configuration):
        return
    hosts = make_keys(layout, topology.site_names)
    for site in topology.site_names:
        where = address(topology, site), NETCONF_PORT
        config = device_file(topology, layout, configuration, site)
        yield f"{PREFIX}{site}", "controller.layers.device", config, partial(_listens, *where)
    config = layer_file(topology, layout, hosts)
    yield LAYER, "controller.layers.network", config, partial(_listens, LAYER_HOST, LAYER_PORT)


def address(topology: Topology, site: str) -> str:
    """Where the site's device listens."""
    return str(FIRST_DEVICE + topology.site_names.index(site))


def device_file(topology: Topology, layout: Layout, configuration: Configuration, site: str) -> dict[str, Any]:
    """As :class:`controller.layers.device.config.DeviceConfig` reads it."""
    return {
        "site": site,
        "host": address(topology, site),
        "port": NETCONF_PORT,
        "bridge_socket": str(database_socket().with_name(f"{topology.bridge(site)}.mgmt")),
        "interfaces": {port.interface: port.number for port in topology.ports(site)},
        "host_key": str(layout.device_keys / f"{PREFIX}{site}"),
        "authorized_keys": str(layout.device_keys / "authorized_keys"),
        "optical_switch": topology.site(site).optical_switch,
        "ethernet_s": configuration["provisioning.ethernet_s"],
        "optical_s": configuration["provisioning.optical_s"],
    }


def layer_file(topology: Topology, layout: Layout, host_keys: dict[str, str]) -> dict[str, Any]:
    """As :class:`controller.layers.network.config.NetworkConfig` reads it; host keys by site."""
    return {
        "host": LAYER_HOST,
        "port": LAYER_PORT,
        "token_file": str(layout.layer_token),
        "client_key": str(layout.device_keys / LAYER),
        "devices": {
            site: {"host": address(topology, site), "port": NETCONF_PORT, "host_key": host_keys[site]}
            for site in topology.site_names
        },
    }


def make_keys(layout: Layout, sites: tuple[str, ...]) -> dict[str, str]:
    """A host key for each device and one for the controller layer, which all devices know; the public ones by site."""
    layout.device_keys.mkdir(mode=0o700, exist_ok=True)
    for old in layout.device_keys.iterdir():
        old.unlink()
    client = _make_key(layout.device_keys / LAYER)
    write_private(layout.device_keys / "authorized_keys", f"ssh-ed25519 {client}\n")
    return {site: _make_key(layout.device_keys / f"{PREFIX}{site}") for site in sites}


def _make_key(path: Path) -> str:
    """The public key in base64; the private one in a file that only its owner may read."""
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()[1]


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PROBE_S):
            return True
    except OSError:
        return False
