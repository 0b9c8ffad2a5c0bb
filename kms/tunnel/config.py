"""What the agent is told, parsed once at the edge: unknown fields are refused and the offending path is named."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kms.tunnel.errors import ConfigurationError
from kms.tunnel.packet.cipher_suites import DEFAULT, SUITES
from kms.tunnel.packet.ip_header import AddressPair, address_pairs
from kms.tunnel.packet.replay_window import MAX_WINDOW, MIN_WINDOW
from kms.tunnel.packet.traffic_padding import Padding

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")  # the kernel's IFNAMSIZ, and nothing `ip` might misread

_EXTENSION_SUITE = re.compile(r"x-[a-z0-9-]{1,38}")  # whether it is there the agent knows


def _interface_name(name: str) -> str:
    if not _INTERFACE.fullmatch(name):
        raise ValueError("an interface name is 1 to 15 letters, digits, dots, dashes or underscores")
    return name


def _probe_period(period_s: float) -> float:
    if 0 < period_s < 0.05:
        raise ValueError("0 (never) or at least 0.05")
    return period_s


def _suite_name(name: str) -> str:
    if name not in SUITES and not _EXTENSION_SUITE.fullmatch(name):
        raise ValueError(f"there is no suite {name!r}; there are {', '.join(SUITES)}")
    return name


def _unicast(address: IPv6Address) -> IPv6Address:
    is_of_another_kind = (
        address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
        or address.ipv4_mapped is not None or address.scope_id is not None
    )  # fmt: skip
    if is_of_another_kind:
        raise ValueError("no IPv6 unicast address that holds beyond a link (RFC 4291, 2.5)")
    return address


Interface = Annotated[str, AfterValidator(_interface_name)]
# Below 50 ms an agent among hundreds does little else; a failure that is known after a minute is of no use.
ProbePeriod = Annotated[float, Field(ge=0.0, le=60.0, allow_inf_nan=False), AfterValidator(_probe_period)]
Unicast6 = Annotated[IPv6Address, AfterValidator(_unicast)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VendorConfig(_Frozen):
    """A vendor's KME, for keys of QKD with some peers."""

    url: Annotated[str, Field(pattern=r"^https://")]
    cert: Path
    key: Path
    ca: Path
    socket: Path | None = None
    """A Unix socket that leads to it, where the host's network does not."""
    peers: dict[str, Name]
    """The ids that it knows peers by, by the ids that we know them by."""


class SuiteExtension(_Frozen):
    """A cipher suite that is somebody else's code (scripts/extensions/naming.py), as it was looked at."""

    target: Annotated[str, Field(pattern=r"^.+:[A-Za-z_]\w*$")]
    folder: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AgentConfig(_Frozen):
    """One host's agent."""

    host: Name
    sae_id: Name
    control_socket: Path
    underlay_interface: Interface
    underlay_address: IPv4Address
    kme_url: Annotated[str, Field(pattern=r"^https://")]
    cert: Path
    key: Path
    ca: Path
    probe_s: ProbePeriod = 0.5
    """How often connections are probed that are not told themselves; 0: never."""
    unsafe_keylog: Path | None = None
    """Debugging only: traffic keys are written here in the clear, for Wireshark's ESP decoder."""
    data_plane: Literal["auto", "userspace", "kernel"] = "auto"
    """Who seals and opens: auto takes the kernel where it has ESP."""
    vendor: VendorConfig | None = None
    """Whose keys of QKD are used instead of the own KME's."""
    suite_extension: SuiteExtension | None = None
    """A suite that connections may be told by its name, beside ours. User space alone."""


class ConnectionConfig(_Frozen):
    """One connection as one of its ends is told."""

    id: Name
    role: Literal["initiator", "responder"]
    mode: Literal["esp", "clear"]
    interface: Interface
    port: Annotated[int, Field(ge=1, le=65535)]
    peer_underlay: IPv4Address
    local_address: IPv4Address
    peer_address: IPv4Address
    local_address6: Unicast6 | None = None
    peer_address6: Unicast6 | None = None
    """Both or none: IPv6 beside IPv4 inside the tunnel."""
    peer_sae: Name
    key_source: Name
    suite: Annotated[str, AfterValidator(_suite_name)] = DEFAULT.name
    rekey_s: Annotated[float, Field(ge=0.05, le=86400.0, allow_inf_nan=False)] = 3.0
    lifetime_s: Annotated[float, Field(ge=0.1, le=86400.0, allow_inf_nan=False)] = 60.0
    replay_window: Annotated[int, Field(ge=MIN_WINDOW, le=MAX_WINDOW)] = 1024
    padding: Padding = Padding.NONE
    padding_pps: Annotated[float, Field(ge=1.0, le=20_000.0, allow_inf_nan=False)] = 1000.0
    expects_copies: bool = False
    repairs: bool = False
    rate_kbps: Annotated[int, Field(ge=1)] | None = None
    """What the network lets through, if it is less than it could: bursts are kept short then."""
    probe_s: ProbePeriod | None = None
    """None: as the agent's."""

    @property
    def pairs(self) -> tuple[AddressPair, ...]:
        return address_pairs(self.local_address, self.peer_address, self.local_address6, self.peer_address6)


class AddRequest(_Frozen):
    id: int | str
    op: Literal["add"]
    connection: ConnectionConfig


class ModifyRequest(_Frozen):
    """Other keys for a connection that is there; everything else as it was added."""

    id: int | str
    op: Literal["modify"]
    connection: ConnectionConfig


class RemoveRequest(_Frozen):
    id: int | str
    op: Literal["remove"]
    connection_id: Name


class WaitUpRequest(_Frozen):
    id: int | str
    op: Literal["wait_up"]
    connection_id: Name
    timeout_s: Annotated[float, Field(ge=0.0, le=3600.0, allow_inf_nan=False)] = 10.0


class WatchRequest(_Frozen):
    """Answered as soon as something has changed after ``since`` (the token of an earlier answer)."""

    id: int | str
    op: Literal["watch"]
    since: Annotated[str, Field(max_length=100)] | None = None
    timeout_s: Annotated[float, Field(ge=0.0, le=3600.0, allow_inf_nan=False)] = 10.0


class ReportRequest(_Frozen):
    """stats, list or metrics: of all connections."""

    id: int | str
    op: Literal["stats", "list", "metrics"]


Request = AddRequest | ModifyRequest | RemoveRequest | WaitUpRequest | WatchRequest | ReportRequest
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="op")])
_AGENT: TypeAdapter[AgentConfig] = TypeAdapter(AgentConfig)
T = TypeVar("T")


def parse_request(raw: dict[str, Any]) -> Request:
    """ConfigurationError names the field, e.g. ``connection.port``."""
    request = _validated(_REQUEST, raw)
    if isinstance(request, AddRequest | ModifyRequest):
        _check_connection(request.connection)
    return request


def load_agent_config(path: Path) -> AgentConfig:
    """ConfigurationError when the file cannot be read or does not hold a configuration."""
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError("--config", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError("--config", f"{path} is not JSON: {error}") from error
    return _validated(_AGENT, raw)


def _check_connection(connection: ConnectionConfig) -> None:
    if connection.local_address == connection.peer_address:
        raise ConfigurationError("connection.peer_address", "the same as local_address")
    _check_ipv6(connection)
    if connection.mode == "esp" and connection.lifetime_s < connection.rekey_s:
        raise ConfigurationError("connection.lifetime_s", "shorter than rekey_s: every key would end before the next")


def _check_ipv6(connection: ConnectionConfig) -> None:
    local, peer = connection.local_address6, connection.peer_address6
    if (local is None) != (peer is None):
        missing, given = ("local", "peer") if local is None else ("peer", "local")
        raise ConfigurationError(f"connection.{missing}_address6", f"missing beside {given}_address6")
    if local is not None and local == peer:
        raise ConfigurationError("connection.peer_address6", "the same as local_address6")
    if local is not None and connection.mode == "clear":
        raise ConfigurationError("connection.local_address6", "a connection of mode clear is IPv4 alone")


def _validated(adapter: TypeAdapter[T], raw: Any) -> T:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # The discriminator's value stands first in the path of a request; the caller never wrote it there.
        path = [str(part) for part in first["loc"]]
        if adapter is _REQUEST and path:
            path = path[1:]
        field = ".".join(path) or ("op" if adapter is _REQUEST else "")
        raise ConfigurationError(field, first["msg"]) from None
