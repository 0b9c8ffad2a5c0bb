"""What the QKD network can give, as :mod:`kms.applications` asks for it."""

from __future__ import annotations

from kms.errors import ExhaustedError
from kms.relay import QkdNetwork


class QkdSupply:
    """Routes as an empty message would take them: over links that are usable now."""

    def __init__(self, network: QkdNetwork) -> None:
        self._network = network

    def sections_between(self, a: str, b: str) -> tuple[str, ...]:
        if a == b:
            return ()
        try:
            links = self._network.route(a, b, 0)
        except ExhaustedError:
            return ()
        return tuple(section for link in links for section in link.sections)

    def skr_bps(self, section: str) -> float:
        return self._network.sections[section].skr_bps

    def available_bits(self, section: str) -> int:
        return self._network.sections[section].available_bits
