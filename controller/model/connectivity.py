"""What is known of whether a connection's traffic passes, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

UNREADABLE = "unreadable"
"""The state of an end of which the agent's answer cannot be read."""


@dataclass(frozen=True)
class TunnelReport:
    """What an agent tells of its end of a connection. Times are finite and not negative."""

    state: str
    hears_peer: bool | None
    is_heard: bool | None
    reachable_for_s: float | None = None
    rtt_ms: float | None = None
    last_error: str | None = None
    """In the state UNREADABLE what is wrong with the answer."""
    warning: str | None = None
    """Something on its host is not as it shall be; packets pass all the same."""
    keys_in_use: str | None = None
    """The source of the key that packets are sealed under; None where it has none, or does not say."""


class Verdict(Enum):
    """What is known of a connection's traffic."""

    PASSES = "passes"
    FAILS = "fails"  # probes are lost on the way
    NO_KEY = "no key"  # a tunnel stands still for want of keys: the way is not at fault
    OTHER_KEYS = "other keys"  # the tunnels have keys in use, and not of the source that was asked for
    AGENT_AWAY = "agent away"
    UNKNOWN = "unknown"  # nobody has said anything yet


@dataclass(frozen=True)
class Finding:
    """``since`` is from when on it holds; ``text`` names what was seen, None while all is well."""

    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    text: str | None = None
    rtt_ms: float | None = None
    is_encrypted: bool = True
    keys_in_use: str | None = None  # the source, the same at both ends; None: not known, none, or another at each end

    @property
    def reachable(self) -> bool | None:
        return {Verdict.PASSES: True, Verdict.FAILS: False}.get(self.verdict)

    @property
    def is_denied(self) -> bool:
        """Whether the connection must not be called ACTIVE. In the clear packets pass without an agent."""
        if self.verdict is Verdict.AGENT_AWAY:
            return self.is_encrypted
        return self.verdict in (Verdict.FAILS, Verdict.NO_KEY, Verdict.OTHER_KEYS)
