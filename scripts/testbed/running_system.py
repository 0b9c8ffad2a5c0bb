"""A running system as commands, measurements and tests see it: hosts to run things in, links to cut, an API to ask."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from scripts.errors import WrongRequest
from scripts.testbed.clients import Answer, KmsAdmin, Northbound, ShelfControl, TunnelControl
from scripts.testbed.fault_injector import FaultInjector
from scripts.testbed.faults import Fault, FaultKind
from scripts.testbed.paths import Layout
from scripts.testbed.run_record import RunRecord
from scripts.testbed.sealed_lines import SealedLines
from scripts.testbed.taps import Tap
from topologies import links
from topologies.cards import LINE_NODES, sealing_cards
from topologies.spec import Channel, EncryptionMode, Topology


class RunningSystem:
    """The run that a record describes; it does not matter which process started it."""

    def __init__(self, record: RunRecord, layout: Layout) -> None:
        layout = record.layout(layout)
        self._record, self._layout = record, layout
        self.topology: Topology = record.network
        self.datapath = record.datapath
        self.api_url = record.api_url
        self.northbound = Northbound(record.api_url, layout.token)
        self.kms = KmsAdmin(layout.kms_socket)
        self.encryption: EncryptionMode = record.encryption
        self.cards = sealing_cards(self.topology, record.encryption)
        lines = SealedLines(self.cards, record.namespaces)
        self.faults = FaultInjector(self.topology, layout, record.netem, self.northbound, lines)

    def into(self, host: str) -> list[str]:
        """The words before a command that run it inside a host's namespace."""
        pid = self._record.namespaces.get(host)
        if pid is None or not self.topology.has_site(host):
            raise WrongRequest(f"HOST: there is no host {host!r}; there are {', '.join(self.topology.site_names)}")
        return ["nsenter", "-t", str(pid), "-n", "--"]

    def popen(self, host: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command inside a host's namespace."""
        return subprocess.Popen([*self.into(host), *argv], **options)

    def run(self, host: str, argv: Sequence[str], timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host's namespace to its end."""
        return subprocess.run([*self.into(host), *argv], capture_output=True, text=True, timeout=timeout_s, check=False)

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        return self.northbound.call(method, path, body)

    def tunnel_stats(self, host: str) -> dict[str, dict[str, Any]]:
        """The counters of a host's tunnel agent, by connection id."""
        stats: dict[str, dict[str, Any]] = TunnelControl(self._layout.tunnel_socket(host)).request("stats")[
            "connections"
        ]
        return stats

    @property
    def shelves(self) -> tuple[str, ...]:
        """The sites that have cards."""
        return tuple(dict.fromkeys(card.site for card in self.cards))

    def card_stats(self, site: str) -> dict[str, dict[str, Any]]:
        """What the cards of a site say of themselves, by wavelength."""
        return ShelfControl(self._layout.shelf_socket(site)).cards()

    def channel(self, channel_id: str) -> Channel:
        if not self.topology.has_channel(channel_id):
            raise WrongRequest(f"ID: there is no channel {channel_id!r}; see `scripts/qslice link list`")
        return self.topology.channel(channel_id)

    def channel_interfaces(self, channel_id: str) -> tuple[str, str]:
        """The switch ports at both ends, in this machine's own namespace."""
        return links.interfaces(self.topology, self.channel(channel_id))

    def line_taps(self) -> dict[str, Tap]:
        """Where the lines between two cards can be tapped, by wavelength; none where no cards seal."""
        holder = self._record.namespaces.get(LINE_NODES["a"])
        return {card.wavelength: Tap(card.interface, holder) for card in self.cards if card.end == "a"}

    def tap_of(self, channel_id: str) -> Tap:
        """Where what goes over a channel can be tapped: on its wavelength's line if cards seal it, else at its port."""
        line = self.line_taps().get(self.channel(channel_id).wavelength)
        return Tap(self.channel_interfaces(channel_id)[0]) if line is None else line

    def key_changes_of(self, channel_id: str) -> int | None:
        """How often the cards that seal a channel have changed their key; None where none do."""
        wavelength = self.channel(channel_id).wavelength
        sites = [card.site for card in self.cards if card.wavelength == wavelength and card.end == "a"]
        return int(self.card_stats(sites[0])[wavelength]["rekeys"]) if sites else None

    def link_down(self, channel_id: str) -> None:
        self.faults.inject(Fault(FaultKind.CUT, channel_id))

    def link_up(self, channel_id: str) -> None:
        """Lift every fault of a channel: cut and black hole."""
        self.faults.lift("link up", channel_id)
