"""The devices and the controller layer of a run: only where slices are set up one after the other; their keys."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from controller.layers.device.config import load_config as device_config
from controller.layers.network.config import load_config as layer_config
from scripts.configuration.table import BY_NAME
from scripts.configuration.values import DEFAULTS, Configuration, Entry
from scripts.errors import WrongRequest
from scripts.testbed.faults import Element, require_target
from scripts.testbed.life import devices
from scripts.testbed.paths import Layout
from topologies.catalog import ukqntel

TOPOLOGY = ukqntel()
SEQUENTIAL = Configuration(
    {
        name: Entry(BY_NAME[name].checked(value))
        for name, value in (("provisioning.mode", "sequential"), ("provisioning.optical_s", 1.5))
    }
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state", tmp_path / "run")
    layout.make()
    return layout


def test_in_parallel_mode_there_is_nothing_of_them(layout: Layout) -> None:
    assert devices.names(TOPOLOGY, DEFAULTS) == ()
    assert list(devices.services(TOPOLOGY, layout, DEFAULTS)) == []
    assert not layout.device_keys.exists()


def test_every_site_has_a_device_that_the_layer_knows(layout: Layout) -> None:
    made = {name: (module, config) for name, module, config, _ in devices.services(TOPOLOGY, layout, SEQUENTIAL)}
    assert tuple(made) == devices.names(TOPOLOGY, SEQUENTIAL)
    files = {}
    for name, (_, config) in made.items():
        files[name] = layout.config(name)
        files[name].write_text(json.dumps(config))
    layer = layer_config(files["controller-layer"])
    assert set(layer.devices) == set(TOPOLOGY.site_names)
    for site, known in layer.devices.items():
        device = device_config(files[f"device-{site}"])
        assert (device.host, device.port) == (known.host, known.port)
        assert device.interfaces == {port.interface: port.number for port in TOPOLOGY.ports(site)}
        assert device.optical_s == 1.5
    assert len({known.host for known in layer.devices.values()} | {layer.host}) == len(TOPOLOGY.site_names) + 1


def test_keys_are_their_owners_alone_and_new_each_time(layout: Layout) -> None:
    first = devices.make_keys(layout, TOPOLOGY.site_names)
    files = {path.name: path.read_bytes() for path in layout.device_keys.iterdir()}
    assert stat.S_IMODE(layout.device_keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in layout.device_keys.iterdir()} == {0o600}
    assert len(set(first.values())) == len(TOPOLOGY.site_names)
    again = devices.make_keys(layout, TOPOLOGY.site_names[:1])
    assert again.keys() == set(TOPOLOGY.site_names[:1])
    assert not set(again.values()) & set(first.values())
    left = {path.name: path.read_bytes() for path in layout.device_keys.iterdir()}
    assert set(left) == {"authorized_keys", "controller-layer", f"device-{TOPOLOGY.site_names[0]}"}
    assert all(left[name] != files[name] for name in left)


def test_they_can_be_killed_where_they_run(layout: Layout) -> None:
    there = devices.names(TOPOLOGY, SEQUENTIAL)
    for name in there:
        require_target(TOPOLOGY, Element.PROCESS, name, there)
        with pytest.raises(WrongRequest, match="NAME"):
            require_target(TOPOLOGY, Element.PROCESS, name)
    with pytest.raises(WrongRequest, match="NAME"):
        require_target(TOPOLOGY, Element.PROCESS, "shaper", ("shaper",))
