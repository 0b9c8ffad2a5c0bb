"""What the demo needs from a running system; the runtime implements it, tests put real namespaces behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any, Protocol

from scripts.measure.errors import MeasurementError
from scripts.testbed.taps import Tap
from topologies.spec import Topology


class System(Protocol):
    """A system that is up. Methods raise OSError, subprocess errors or RuntimeError when it fails them."""

    @property
    def topology(self) -> Topology: ...

    @property
    def datapath(self) -> str:
        """``system`` (kernel) or ``netdev`` (userspace)."""

    def popen(self, host: str, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start ``argv`` inside the host's namespace; signals to the process reach ``argv`` itself."""

    def run(self, host: str, argv: Sequence[str], timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` inside the host's namespace to its end, output captured, exit status not judged."""

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """One call of the northbound API with the token: HTTP status and the decoded body ({} when empty)."""

    def tunnel_stats(self, host: str) -> dict[str, dict[str, Any]]:
        """Counters of the host's tunnel agent by connection id: at least ``rekeys`` and ``key_source``."""

    def link_down(self, channel_id: str) -> None:
        """Cut one channel, and no other, at both ends."""

    def link_up(self, channel_id: str) -> None: ...

    def channel_interfaces(self, channel_id: str) -> tuple[str, str]:
        """Names of the channel's two interfaces in the root namespace."""

    def tap_of(self, channel_id: str) -> Tap:
        """Where what goes over the channel is captured: on its wavelength's line if cards seal it, else at a port."""

    def key_changes_of(self, channel_id: str) -> int | None:
        """How often the cards that seal the channel have changed their key; None where none do."""


def counters_of(system: System, host: str, connection_id: str) -> dict[str, Any]:
    """The tunnel agent's counters of one connection; MeasurementError when it does not know it."""
    stats = system.tunnel_stats(host)
    if connection_id not in stats:
        raise MeasurementError(f"the tunnel agent on {host} knows no connection {connection_id}")
    return stats[connection_id]
