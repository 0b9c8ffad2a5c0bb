"""What the controller keeps about one connection, and the addresses that follow from its number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from controller.model.errors import IllegalTransition
from controller.model.path import Lane, Route
from controller.model.reason import Reason, ReasonCode
from controller.model.request import ConnectionRequest, ConnectionSpec, at_level, spec_in_mode
from controller.model.states import CONNECTION_TRANSITIONS, ConnectionState
from topologies.spec import EncryptionMode, SecurityClass

MAX_CONNECTIONS = 32_768  # /31 pairs in 10.200.0.0/16; UDP ports 20000..52767
FIRST_TUNNEL_PORT = 20_000
KEPT_REROUTES = 20
UNCONFIRMED_KEYS = "unconfirmed"


@dataclass(frozen=True)
class Reroute:
    """That a connection has moved: both ways, the class of each channel of the new one, where its keys come from.

    ``key_source`` is UNCONFIRMED_KEYS while the agents at both ends have not said that they use keys of the source.
    ``level`` is the level in force: the one asked for, or a fallback that the request lists.
    """

    at: float  # seconds since the epoch
    old_path: tuple[str, ...]
    new_path: tuple[str, ...]
    classes: tuple[str, ...]
    key_source: str
    level: str
    cause: str  # see controller.model.reroute.Cause
    old_key_links: tuple[str, ...] = ()  # the QKD links that keys were relayed over, and are now
    new_key_links: tuple[str, ...] = ()


@dataclass(frozen=True)
class SlowRekey:
    """Keys are renewed every ``rekey_s`` only, which is less often than asked for; ``reason`` names the section."""

    rekey_s: float
    reason: str


@dataclass(frozen=True)
class Connection:
    """One connection: its number gives its addresses, ``lanes[0]`` carries its traffic; no lane while DEGRADED."""

    request: ConnectionRequest
    number: int
    lanes: tuple[Lane, ...]
    generation: int  # of the newest lane it ever had
    state: ConnectionState = ConnectionState.PENDING
    reason: Reason | None = None  # why it is DEGRADED or less protected than asked
    reroutes: tuple[Reroute, ...] = ()  # the last ones, oldest first
    slow_rekey: SlowRekey | None = None  # not journalled: the next process learns it from the KMS
    edition: int = 0  # counts up when a change of the slice gives it another end: it is then another connection
    fallback: SecurityClass | None = None  # the lower level in force, one that the request lists; None: what was asked
    preferred: Route | None = None  # the way it had before it was moved, kept while the request wants to return to it

    @property
    def id(self) -> str:
        """Stays as long as the addresses do; the old and the new edition can stand side by side."""
        return f"{self.request.id}@{self.edition}" if self.edition else self.request.id

    @property
    def src_address(self) -> str:
        return _inner_address(2 * self.number)

    @property
    def dst_address(self) -> str:
        return _inner_address(2 * self.number + 1)

    @property
    def src_address6(self) -> str | None:
        """None without encryption: what goes in the clear is IPv4 alone."""
        return _inner_address6(2 * self.number) if self.is_encrypted else None

    @property
    def dst_address6(self) -> str | None:
        return _inner_address6(2 * self.number + 1) if self.is_encrypted else None

    @property
    def tunnel_port(self) -> int:
        """UDP port at both ends."""
        return FIRST_TUNNEL_PORT + self.number

    @property
    def tunnel_interface(self) -> str:
        return f"q{self.number}"

    @property
    def in_force(self) -> ConnectionSpec:
        """What is asked for, at the level and at the pace of renewal in force."""
        spec = self.request.spec if self.fallback is None else at_level(self.request.spec, self.fallback)
        return spec if self.slow_rekey is None else replace(spec, rekey_s=self.slow_rekey.rekey_s)

    @property
    def explanation(self) -> Reason | None:
        """Why it is not quite what was asked for."""
        if self.reason is None and self.fallback is not None:
            asked = self.request.spec.security.key_source
            detail = f"uses the fallback {self.fallback.label}: there is no way at {asked}"
            return Reason(ReasonCode.FALLBACK, detail)
        return self.reason

    @property
    def is_encrypted(self) -> bool:
        """Whether a tunnel from host to host seals it."""
        return self.in_force.is_sealed_by_hosts

    @property
    def key_source(self) -> str:
        """Where its tunnel's keys come from; ``none`` where it has no tunnel."""
        spec = self.in_force
        return spec.security.key_source if spec.hosts_seal else SecurityClass.NONE.label

    @property
    def rekey_s(self) -> float:
        """How often the tunnel renews its key now, in seconds."""
        return self.in_force.rekey_s

    @property
    def route(self) -> Route | None:
        """The way that carries the traffic now."""
        return self.lanes[0].route if self.lanes else None

    @property
    def is_keyless(self) -> bool:
        """Whether it has a way and nothing is reserved that would give it QKD keys: it lives on those it has."""
        return bool(self.lanes) and self.in_force.key_rate_millibps > 0 and not self.lanes[0].route.key_links

    def become(self, state: ConnectionState, **changes: Any) -> Connection:
        """The connection in another state; IllegalTransition when the table does not list it."""
        if state not in CONNECTION_TRANSITIONS[self.state]:
            raise IllegalTransition(f"connection {self.id}: {self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)


def connection_in_mode(
    connection: Connection, encryption: EncryptionMode, always: tuple[SecurityClass, ...] = ()
) -> Connection:
    """The same as it is carried out on a network where that seals, and these are in every key of QKD."""
    request = connection.request
    return replace(connection, request=replace(request, spec=spec_in_mode(request.spec, encryption, always)))


def _inner_address(offset: int) -> str:
    return f"10.200.{offset >> 8}.{offset & 255}"


def _inner_address6(offset: int) -> str:
    """Unique local (RFC 4193), and never the first of its network, which means any router (RFC 4291, 2.6.1)."""
    return f"fd51:5c1c::1:{offset:x}"


def owner_of(connection: Connection, lane: Lane) -> str:
    return f"{connection.id}#{lane.generation}"
