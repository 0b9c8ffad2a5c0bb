"""What the network is seen to be: channels, sections, switches and spares, and what the tunnels' probes say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from controller.model.connectivity import Finding, Verdict
from controller.model.dark_channel import Spare, SpareState
from controller.pce.network import Network


class Observations:
    """Tells ``network`` what may be used and what sections give; keeps the rest by itself."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._silent: frozenset[str] = frozenset()
        self._doubted: frozenset[str] = frozenset()
        self._findings: Mapping[str, Finding] = MappingProxyType({})
        self._conditions: Mapping[str, tuple[str, ...]] = MappingProxyType({})
        self._switches_away: Mapping[str, float] = MappingProxyType({})
        self._spares: Mapping[str, Spare] = MappingProxyType(
            {c.id: Spare() for c in network.topology.channels if c.dark}
        )

    def fork(self, network: Network) -> Observations:
        """The same observations, of a copy of the network. All are replaced as a whole, and so can be shared."""
        twin = Observations(network)
        twin._silent, twin._doubted = self._silent, self._doubted
        twin._findings, twin._conditions = self._findings, self._conditions
        twin._switches_away, twin._spares = self._switches_away, self._spares
        return twin

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def silent(self) -> frozenset[str]:
        return self._silent

    @property
    def doubted(self) -> frozenset[str]:
        return self._doubted

    @property
    def findings(self) -> Mapping[str, Finding]:
        return self._findings

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        return self._conditions

    @property
    def switches_away(self) -> Mapping[str, float]:
        return self._switches_away

    @property
    def spares(self) -> Mapping[str, Spare]:
        return self._spares

    def is_passing(self, connection_id: str) -> bool:
        """Whether its probes pass: proof that its ways carry packets, whatever else is said of them."""
        finding = self._findings.get(connection_id)
        return finding is not None and finding.verdict is Verdict.PASSES

    def is_denied(self, connection_id: str) -> bool:
        """Whether there is evidence that it carries nothing."""
        finding = self._findings.get(connection_id)
        return finding is not None and finding.is_denied

    # --- what is seen --------------------------------------------------------------------------------------------

    def observe_channels(self, changes: Mapping[str, bool], silent: Iterable[str]) -> tuple[str, ...]:
        """Record which channels are up and which are down by BFD alone; those of ``changes`` that are news."""
        self._silent = frozenset(silent)
        return tuple(channel for channel, is_up in changes.items() if self._network.set_channel_up(channel, is_up))

    def observe_section(self, section_id: str, rate_millibps: int, *, is_usable: bool) -> None:
        """Record what key rate (millibit/s) the KMS tells of a QKD section."""
        self._network.set_section(section_id, rate_millibps, is_usable)

    def observe_findings(self, findings: Mapping[str, Finding]) -> None:
        """Record what the tunnels' probes say, by connection."""
        self._findings = MappingProxyType(dict(findings))

    def observe_switches(self, ready: Iterable[str], now: float) -> None:
        """Record the sites whose switch is there; the others are away since ``now`` (steady clock, s) or longer.

        New paths go round those that are away. While all are, nothing can be laid, and plans are made as if all were
        there.
        """
        present = frozenset(ready)
        away = [site for site in self._network.topology.site_names if site not in present]
        if self._switches_away.keys() != set(away):
            for site in self._network.topology.site_names:
                self._network.set_open(site, not present or site in present)
        self._switches_away = MappingProxyType({site: self._switches_away.get(site, now) for site in away})

    def doubt_channels(self, channels: Iterable[str]) -> None:
        """Avoid exactly these channels where there is a choice."""
        self._doubted = frozenset(channels)

    def note_conditions(self, conditions: Mapping[str, tuple[str, ...]]) -> None:
        """Keep what is to be known of each connection beside its state."""
        self._conditions = MappingProxyType(dict(conditions))

    def set_spare(self, channel_id: str, spare: Spare) -> None:
        """Record what has become of a spare; the graph may use it while it is lit."""
        self._spares = MappingProxyType({**self._spares, channel_id: spare})
        self._network.set_dark(channel_id, spare.state is not SpareState.LIT)
