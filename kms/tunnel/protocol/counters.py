"""What a connection has done and refused. Octets are those of inner packets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Monotonic; each dropped packet or message counts in exactly one of the drop counters."""

    tx_packets: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_selector_drops: int = 0
    tx_no_sa_drops: int = 0
    tx_exhausted_drops: int = 0
    tx_socket_drops: int = 0
    rx_selector_drops: int = 0
    rx_replay_drops: int = 0
    rx_copies: int = 0  # dropped as already received, where the network sends everything twice
    rx_auth_failures: int = 0
    rx_malformed: int = 0
    rx_unknown_spi: int = 0
    rx_expired_drops: int = 0
    rx_device_drops: int = 0
    rx_keepalives: int = 0
    tx_dummies: int = 0  # packets without content that keep the rate constant
    rx_dummies: int = 0
    tx_padding_drops: int = 0  # more than the constant rate carries
    tx_repaired: int = 0  # sent again because the peer missed them
    rx_repaired: int = 0  # had been skipped and came after all
    rekeys: int = 0
    key_requests: int = 0
    key_refusals: int = 0
    control_sent: int = 0
    control_received: int = 0
    control_malformed: int = 0
    control_auth_failures: int = 0
    control_ignored: int = 0
    control_limited: int = 0
    probes_sent: int = 0
    probes_answered: int = 0
    probe_replays: int = 0  # copies that 1+1 sends are among them

    def as_dict(self) -> dict[str, int]:
        """By name. Asked for often: dataclasses.asdict takes ten times as long."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def rx_saved(self) -> int:
        """Packets that came over one of two ways only: what one way alone would have lost.

        Those whose copy is still on its way are among them for as long as it is.
        """
        accepted = self.rx_packets + self.rx_selector_drops + self.rx_dummies
        return max(0, accepted - self.rx_copies - self.rx_replay_drops)
