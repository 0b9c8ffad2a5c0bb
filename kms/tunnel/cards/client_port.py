"""One client of a card: its circuit's number, its port, and whether it is up at both ends."""

from __future__ import annotations

import logging
from typing import Any

from kms.tunnel.cards.carrier import LineState
from kms.tunnel.cards.config import ClientConfig
from kms.tunnel.cards.tap import TapPort
from kms.tunnel.packet.ethernet import tag_of

logger = logging.getLogger(__name__)


class ClientPort:
    """``tap`` is the port; it is the card's as long as the card is."""

    def __init__(self, config: ClientConfig, tap: TapPort) -> None:
        self.config, self.tap = config, tap
        self.tag = tag_of(config.circuit)
        self.is_up = False
        """Somebody has the port up."""
        self.is_gone = False
        """The device was removed under us."""
        self._why_not: str | None = "not looked at yet"

    def settle(self, line: LineState) -> bool:
        """Have carrier as the line carries, or lose it; whether that or its reason has changed."""
        before, self._why_not = self._why_not, "the interface is gone" if self.is_gone else self._reason(line)
        if self._why_not == before:
            return False
        if not self.is_gone:
            try:
                self.tap.set_carrier(self._why_not is None)
            except OSError as error:
                self.lose(error)
        if None in (before, self._why_not):
            logger.info("%s: %s", self.config.channel, self._why_not or "carrier")
        return True

    def lose(self, error: OSError) -> None:
        """Its device has gone."""
        logger.error("%s: interface %s is gone: %s", self.config.channel, self.config.interface, error.strerror)
        self.is_gone, self.is_up, self._why_not = True, False, "the interface is gone"

    def stats(self) -> dict[str, Any]:
        return {
            "circuit": self.config.circuit,
            "channel": self.config.channel,
            "interface": self.config.interface,
            "is_up": self.is_up,
            "has_carrier": self._why_not is None,
            "why_not": self._why_not,
        }

    def _reason(self, line: LineState) -> str | None:
        return line.why_not(self.config.circuit)
