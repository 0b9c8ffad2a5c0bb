"""The controller's configuration file: parsed once, unknown fields refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from controller.model.errors import ConfigError
from controller.model.latency import LatencyModel
from controller.model.operator_policy import CostProfile, OperatorPolicy
from controller.model.provisioning_trace import ProvisioningMode
from controller.model.tunnel_profile import EXTENSION_SUITE, SuiteName
from topologies.spec import EncryptionMode, SecurityClass, Topology, TopologyError, topology_from_dict

DEFAULT_HOLD_S = 5.0

SWITCH_US, TUNNEL_US = 94, 263  # 99th percentiles, measured: docs/explanation/path-computation.md, "Latency"
HostName = Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?)$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiConfig(_Section):
    """Where the northbound API listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    hosts: tuple[HostName, ...] = ()
    """Names and addresses, without a port, under which clients call it, beside the loopback's and ``host``."""
    require_token_for_reads: bool = False
    idle_s: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    header_s: float = Field(default=10.0, gt=0, le=3600, allow_inf_nan=False)
    body_s: float = Field(default=20.0, gt=0, le=3600, allow_inf_nan=False)
    write_s: float = Field(default=20.0, gt=0, le=3600, allow_inf_nan=False)


class OpenFlowConfig(_Section):
    """Where switches connect. Without TLS anybody on this machine can be a switch: for experiments only."""

    host: str = "127.0.0.1"
    port: int = Field(default=6653, ge=1, le=65535)
    tls: bool = True
    key: Path | None = None
    cert: Path | None = None
    ca: Path | None = None
    switch_name: str | None = None
    """The common name that a switch's certificate must have: the authority also signs clients of the KMS. None: any.

    Whatever it is, it must name the datapath by a URI (:mod:`controller.southbound.switch_identity`)."""

    @model_validator(mode="after")
    def _tls_has_its_files(self) -> OpenFlowConfig:
        if self.tls and (self.key is None or self.cert is None or self.ca is None):
            raise ValueError("key, cert and ca are needed unless tls is false")
        return self


class ExtensionConfig(_Section):
    """One extension: where its code is (:mod:`scripts.extensions.naming`), and on which terms it is asked."""

    target: str = Field(pattern=r"^.+:[A-Za-z_]\w*$")
    """MODULE:NAME, or the absolute path of a file, and :NAME."""
    folder: str | None = None
    """Where else modules are looked for."""
    deadline_s: float | None = Field(default=None, gt=0, le=60, allow_inf_nan=False)
    """How long an answer may take. None: that of its kind."""
    on_failure: Literal["reject", "builtin"] = "reject"
    """What is done when it fails or its answer is refused: nothing, or what the builtin would do."""


class ExtensionsConfig(_Section):
    """Extensions in the place of the builtin. Their code runs with the rights of this process."""

    pce: ExtensionConfig | None = None
    healing: ExtensionConfig | None = None
    suite: str | None = Field(default=None, pattern=f"^{EXTENSION_SUITE.pattern}$")
    """The name of the agents' cipher suite beside ours, whose code this process does not have."""
    unsafe_no_audit: bool = False
    """For tests of the auditor: what extensions answer is installed unseen."""


class ProvisioningConfig(_Section):
    """How slices are set up, and for one device after the other, by whom."""

    mode: ProvisioningMode = ProvisioningMode.PARALLEL
    deadline_s: float = Field(default=30.0, gt=0, le=3600, allow_inf_nan=False)
    """How long a device may take for a step, beside the time that it is said to need."""
    ethernet_s: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """How long a site's Ethernet switch is said to need for a step."""
    optical_s: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)
    """How long a site's optical switch is said to need for a step."""
    layer_host: str | None = None
    """Where the controller layer listens."""
    layer_port: int = Field(default=8080, ge=1, le=65535)
    layer_token: Path | None = None
    """The file with its token."""

    @model_validator(mode="after")
    def _sequential_has_its_layer(self) -> ProvisioningConfig:
        if self.mode is ProvisioningMode.SEQUENTIAL and (self.layer_host is None or self.layer_token is None):
            raise ValueError("layer_host and layer_token are needed for sequential provisioning")
        return self


class PolicyConfig(_Section):
    """What the operator decides for all slices: see :class:`controller.model.operator_policy.OperatorPolicy`."""

    always: Annotated[tuple[Literal["dh", "qra"], ...], Field(max_length=2)] = ()
    cost_profile: CostProfile = CostProfile.PREMIUM_LAST

    def parsed(self) -> OperatorPolicy:
        return OperatorPolicy(
            tuple(dict.fromkeys(SecurityClass.parse(name) for name in self.always)), self.cost_profile
        )


class LatencyConfig(_Section):
    """What a path's latency counts beside its channels: see :class:`controller.model.latency.LatencyModel`."""

    switch_us: int = Field(default=SWITCH_US, ge=0, le=1_000_000)
    tunnel_us: int = Field(default=TUNNEL_US, ge=0, le=1_000_000)

    def parsed(self) -> LatencyModel:
        return LatencyModel(self.switch_us, self.tunnel_us)


class ControllerConfig(_Section):
    """Everything the process is told."""

    topology: dict[str, Any]
    database: Path
    token_file: Path
    viewer_token_file: Path | None = None  # beside the operator's unless told otherwise
    api: ApiConfig = ApiConfig()
    openflow: OpenFlowConfig
    kms_socket: Path
    tunnel_sockets: dict[str, Path]
    ovsdb_socket: Path | None = None  # where BFD is on: the database through which its pace is set
    encryption: EncryptionMode = EncryptionMode.HOST
    """What seals: the hosts' tunnels, the cards of wavelengths, or both."""
    watch_carrier: bool = False
    """Whether the switches' ports are interfaces of this process' network namespace: the kernel then tells when one of
    them loses carrier, before its switch does."""
    hold_down_s: float = Field(default=1.0, ge=0, le=3600, allow_inf_nan=False)
    spare_hold_s: float = Field(default=DEFAULT_HOLD_S, ge=0, le=86_400, allow_inf_nan=False)
    """How long a lit spare must not have been needed before it is put out."""
    forbidden_suites: tuple[SuiteName, ...] = ()
    """Cipher suites that no connection may be given. What runs already goes on, and is changed by PATCH."""
    policy: PolicyConfig = PolicyConfig()
    latency: LatencyConfig = LatencyConfig()
    extensions: ExtensionsConfig = ExtensionsConfig()
    provisioning: ProvisioningConfig = ProvisioningConfig()
    crash_at_checkpoint: str | None = None
    """For tests of recovery: the process kills itself at this one of :mod:`controller.testing.checkpoints`."""

    unsafe_mutation: str | None = None
    """For tests of experiments: the controller is wrong in this way of :mod:`controller.testing.mutants`.

    It says so.
    """

    @property
    def viewer_token(self) -> Path:
        return self.viewer_token_file or self.token_file.with_name(self.token_file.name + ".viewer")

    def parsed_topology(self) -> Topology:
        try:
            return topology_from_dict(self.topology)
        except (TopologyError, ValueError) as error:
            raise ConfigError(f"topology: {error}") from error


def load_config(path: Path) -> ControllerConfig:
    """The configuration in ``path``. Raises ConfigError."""
    try:
        return ControllerConfig.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "configuration"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
