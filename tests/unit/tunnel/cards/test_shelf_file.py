"""A shelf's file is read whole or refused by the field that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kms.tunnel.cards.config import is_shelf_file, load_shelf_config, parse_request
from kms.tunnel.errors import ConfigurationError
from scripts.configuration.values import DEFAULTS, Entry
from scripts.testbed.life.shelves import shelf_files
from scripts.testbed.paths import Layout
from topologies.cards import LINE_NODES, sealing_cards
from topologies.catalog import load
from topologies.spec import EncryptionMode


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Any]:
    """What a run writes for the site of ukqntel where the first card stands."""
    topology = load("ukqntel")
    cards = sealing_cards(topology, EncryptionMode.CHANNEL)
    configuration = DEFAULTS.with_entries({"encryption.lifetime_s": Entry(6.5)})
    layout = Layout(tmp_path / "state", tmp_path / "run")
    holders = dict(zip(LINE_NODES.values(), (11, 12), strict=True))
    return shelf_files(topology, layout, configuration, cards, holders)[cards[0].site]


def parsed(raw: dict[str, Any], folder: Path) -> Any:
    path = folder / "shelf.json"
    path.write_text(json.dumps(raw))
    assert is_shelf_file(path)
    return load_shelf_config(path)


def test_what_a_run_writes_is_read(written: dict[str, Any], tmp_path: Path) -> None:
    config = parsed(written, tmp_path)
    assert (config.rekey_s, config.lifetime_s) == (3.0, 6.5)
    assert config.sae_id == f"card-{config.shelf}"
    ends = {card.line.namespace for card in config.cards}
    assert ends <= {Path("/proc/11/ns/net"), Path("/proc/12/ns/net")}
    assert all(card.peer_sae.startswith("card-") for card in config.cards)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lifetime_s": 1}, "lifetime_s"),
        ({"colour": 1}, "colour"),
        ({"kme_url": "http://10.0.0.1"}, "kme_url"),
        ({"rekey_s": 0}, "rekey_s"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], field: str, written: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed({**written, **change}, tmp_path)
    assert caught.value.field == field


@pytest.mark.parametrize("circuit", [0, 4095, "1x"])
def test_a_circuit_has_a_number_that_a_tag_holds(circuit: Any, written: dict[str, Any], tmp_path: Path) -> None:
    written["cards"][0]["clients"][0]["circuit"] = circuit
    with pytest.raises(ConfigurationError, match="circuit"):
        parsed(written, tmp_path)


def test_an_interface_is_one_clients(written: dict[str, Any], tmp_path: Path) -> None:
    clients = written["cards"][0]["clients"]
    clients.append({**clients[0], "circuit": 99})
    with pytest.raises(ConfigurationError, match="two clients"):
        parsed(written, tmp_path)


def test_an_agents_file_is_none(tmp_path: Path) -> None:
    for text in ("{}", "[]", "no JSON"):
        (tmp_path / "x.json").write_text(text)
        assert not is_shelf_file(tmp_path / "x.json")
    assert not is_shelf_file(tmp_path / "absent.json")


@pytest.mark.parametrize("op", ["add", "remove", "modify", "", None])
def test_nothing_is_changed_by_request(op: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse_request({"id": 1, "op": op})
