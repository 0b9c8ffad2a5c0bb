"""Every setting that there is, once. Pure.

What a component reads has its type, its limits and its default from the component's own configuration: they cannot
differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from controller.model.provisioning_trace import ProvisioningMode
from controller.schema.config import (
    ApiConfig,
    ControllerConfig,
    LatencyConfig,
    OpenFlowConfig,
    PolicyConfig,
    ProvisioningConfig,
)
from kms.config import KmsConfig, LimitsConfig, QkdConfig, QuotaConfig
from kms.keys.key import KeySource
from kms.sources.kems import KEM_NAMES
from kms.tunnel.config import AgentConfig
from scripts.configuration.setting import Place, Reader, Setting
from topologies.files.scale import DEFAULT_MBPS_PER_GBPS, MAX_MBPS_PER_GBPS, MIN_MBPS_PER_GBPS
from topologies.spec import CARD_REKEY_S, EncryptionMode

FILE_VERSION = 1
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Section:
    """A section of the file; ``model`` is what a component parses it with, and ``defaults`` what it then has."""

    def __init__(self, name: str, reader: Reader, model: type[BaseModel], defaults: Any = None) -> None:
        self._name, self._reader, self._model, self._defaults = name, reader, model, defaults

    def __call__(self, field: str, meaning: str, unit: str = "", **more: Any) -> Setting:
        """The component's field as a setting."""
        declared = self._model.model_fields[field]
        kind = Annotated[(declared.annotation, *declared.metadata)] if declared.metadata else declared.annotation
        default = declared.default if self._defaults is None else getattr(self._defaults, field)
        return Setting(f"{self._name}.{field}", kind, _plain(default), meaning, self._reader, unit, **more)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _settings() -> Iterator[Setting]:
    yield from _network()
    yield Setting("encryption.mode", EncryptionMode, EncryptionMode.HOST.value, "What seals traffic: tunnels from host "
                  "to host, the cards at the ends of each wavelength, or both.", Reader.RUNS,
                  option="--encryption")  # fmt: skip
    yield Setting("encryption.lifetime_s", Annotated[float, Field(ge=CARD_REKEY_S, le=86_400)], 60.0, "How long a "
                  "wavelength's key may seal that no other one has followed; then its circuits are down.",
                  Reader.CARDS, "s")  # fmt: skip
    yield from _controller()
    yield from _provisioning()
    yield from _kms()
    agent = _Section("tunnel", Reader.AGENTS, AgentConfig)
    yield agent("data_plane", "Who encrypts: the kernel, user space, or the first where it has ESP.", option="--tunnel")
    yield agent("probe_s", "How often each connection is probed; 0: never, else from 0.05.", "s")
    yield agent(
        "unsafe_keylog", "Debugging only: a file that gets all traffic keys, for Wireshark.",
        own_variable="QSLICE_UNSAFE_KEYLOG", place=Place.FILE,
    )  # fmt: skip
    yield from _extensions()
    yield from _experiments()
    yield from _benches()


def _network() -> Iterator[Setting]:
    scale = Annotated[float, Field(ge=MIN_MBPS_PER_GBPS, le=MAX_MBPS_PER_GBPS)]
    yield Setting("network.topo", str, "ukqntel", "The network: the name of a shipped one, or a file.", Reader.UP,
                  option="--topo", place=Place.TOPOLOGY)  # fmt: skip
    yield Setting("network.scale", scale, DEFAULT_MBPS_PER_GBPS, "Emulated capacity for each real Gbit/s.",
                  Reader.NETWORK, "Mbit/s", "--scale")  # fmt: skip
    yield Setting("network.shaped", bool, True, "Whether channels are limited to their capacity.", Reader.NETWORK,
                  option="--unshaped")  # fmt: skip
    yield Setting("network.bfd", bool, False, "Whether BFD looks for silent failures. Scenarios and benchmarks say so "
                  "for themselves.", Reader.UP, option="--bfd")  # fmt: skip


def _controller() -> Iterator[Setting]:
    api = _Section("api", Reader.CONTROLLER, ApiConfig)
    yield Setting("api.host", IPv4Address, "127.0.0.1", "The IPv4 address on which the API listens. Beyond the "
                  "loopback, everybody who reaches it may read unless `require_token_for_reads`.",
                  Reader.CONTROLLER)  # fmt: skip
    yield Setting("api.port", Annotated[int, Field(ge=1, le=65535)], 8080, "The API's TCP port.", Reader.CONTROLLER,
                  option="--api-port")  # fmt: skip
    yield api("hosts", "More names under which clients call the API, without a port.")
    yield api("require_token_for_reads", "Whether reading needs a token too.")
    yield api("idle_s", "How long an open connection may wait for its next request.", "s")
    yield api("header_s", "How long the head of a request may take.", "s")
    yield api("body_s", "How long the body of a request may take.", "s")
    yield api("write_s", "How long a reader may take nothing of an answer.", "s")
    openflow = _Section("openflow", Reader.CONTROLLER, OpenFlowConfig)
    yield openflow("port", "The TCP port that the switches connect to, on 127.0.0.1.")
    policy = _Section("policy", Reader.CONTROLLER, PolicyConfig, PolicyConfig())
    yield policy("always", "Methods of which every key of QKD gets a part too.", option="--always")
    yield policy("cost_profile", "Whether lesser traffic takes premium channels only where nothing else fits, or free "
                 "ones like any other.", option="--cost-profile")  # fmt: skip
    latency = _Section("latency", Reader.CONTROLLER, LatencyConfig)
    yield latency("switch_us", "What a path's latency counts for each switch, one way: measured, 99th percentile "
                  "(`bench tunnel`: `fabric`.`plain`, an eighth of the round trip).", "us")  # fmt: skip
    yield latency("tunnel_us", "The same for both ends of a tunnel together, where hosts seal (`bench tunnel`: `veth`, "
                  "half of what `ours` takes beyond `plain`).", "us")  # fmt: skip
    controller = _Section("controller", Reader.CONTROLLER, ControllerConfig)
    yield controller("hold_down_s", "How long both ends of a channel must be up before it is used again.", "s")
    yield controller("spare_hold_s", "How long an activated spare must be unneeded before it goes dark again.", "s")
    yield controller("forbidden_suites", "Cipher suites that no request may ask for; existing connections keep theirs.")


def _provisioning() -> Iterator[Setting]:
    yield Setting("provisioning.mode", ProvisioningMode, ProvisioningMode.PARALLEL.value, "How slices are set up: by "
                  "OpenFlow, all switches at once, or one device after the other through a controller layer and "
                  "NETCONF, as in the papers.", Reader.RUNS, option="--provisioning")  # fmt: skip
    provisioning = _Section("provisioning", Reader.RUNS, ProvisioningConfig)
    yield provisioning("deadline_s", "Sequential: how long a device may take for a step, beside the times below.", "s")
    yield provisioning("ethernet_s", "Sequential: how long a site's Ethernet switch is made to take for a step. "
                       "Simulated, and said so in the trace; in paper 001 some 4 to 12 s.", "s")  # fmt: skip
    yield provisioning("optical_s", "Sequential: the same for the optical switch of a site that has one; in paper 001 "
                       "some 1.3 s.", "s")  # fmt: skip


def _kms() -> Iterator[Setting]:
    kms = _Section("kms", Reader.KMS, KmsConfig)
    yield kms("dh_group", "The group of the Diffie-Hellman key source: a curve, or a finite-field group of RFC 7919.",
              option="--dh")  # fmt: skip
    yield kms("qra_kem", "The KEM of the QRA key source: auto (the best one here) or one, or several joined by +, of "
              f"{', '.join(KEM_NAMES)}; NTRU-* needs liboqs.", option="--qra")  # fmt: skip
    yield kms("kme_signature", "With what KMEs sign their key exchanges.", option="--kme-signature")
    yield kms("default_key_source", "The source of keys that are asked for without naming one: dh, qra, qkd, or "
              "several joined by +.")  # fmt: skip
    yield kms("available_lifetime_s", "How long a key waits in a pool before it is discarded.", "s")
    yield kms("awaiting_lifetime_s", "How long a delivered key waits for its slave.", "s")
    yield kms("stream_lease_s", "How long an ETSI 004 stream outlives the last chunk that was asked for.", "s")
    qkd = _Section("kms.qkd", Reader.KMS, QkdConfig)
    yield qkd("prefill_s", "How long the QKD sections had run before the start.", "s")
    yield qkd("buffer_bits", "How much key a QKD section stores.", "bit")
    limits = _Section("kms.limits", Reader.KMS, LimitsConfig, LimitsConfig())
    yield limits("key_size", "The size of keys that are asked for without one; a multiple of 8.", "bit")
    yield limits("min_key_size", "The smallest key; a multiple of 8.", "bit")
    yield limits("max_key_size", "The largest key; a multiple of 8.", "bit")
    yield limits("max_key_per_request", "How many keys one request may ask for.")
    yield limits("max_key_count", "How many keys a pool holds.")
    yield limits("pool_target", "To how many keys a pool is filled in the background.")
    yield limits("max_sae_id_count", "How many additional slaves a request may name.")
    yield limits("max_awaiting_keys", "How many delivered keys may wait for their slaves.")
    yield limits("max_awaiting_bits", "How many bits of delivered keys may wait for their slaves.", "bit")
    yield limits("awaiting_share_of_sae", "Which share of those the keys of one master may be.")
    yield limits("awaiting_share_of_pair", "Which share of those the keys of one master for one slave may be.")
    yield limits("awaiting_share_booked", "Which share of those is kept for applications that have booked.")
    yield limits("max_body_bytes", "The longest body of a request.", "byte")
    quota = _Section("kms.quota", Reader.KMS, QuotaConfig, KmsConfig.model_fields["quota"].default)
    yield quota("bits_per_s", "What an SAE may take; null: as much as there is.", "bit/s")
    yield quota("requests_per_s", "How often an SAE may ask; null: as often as it likes.", "1/s")
    yield quota("stream_priority", "The highest priority of the ETSI 004 streams that an SAE opens.")
    yield quota("max_streams", "How many ETSI 004 streams an SAE may have open.")
    yield kms("quotas", "Quotas of single SAEs by id, with the members of `quota`; what is left out is unlimited.")


def _extensions() -> Iterator[Setting]:
    read = Reader.RUNS
    yield Setting("extensions.use", Annotated[list[str], Field(max_length=20)], [], "Extensions in the place of the "
                  "builtin, each KIND=MODULE:NAME, KIND=./file.py:NAME, or a short name of `extension list`. Their "
                  "code runs as root.", read, option="--use", place=Place.USES)  # fmt: skip
    yield Setting("extensions.on_failure", Literal["reject", "builtin"], "reject", "What is done when an extension "
                  "fails or its answer is refused: nothing, or what the builtin would do.", read,
                  option="--on-failure")  # fmt: skip
    yield Setting("extensions.source_level", Literal["dh", "qra"], "qra", "At which level the keys of an extension "
                  "`source` serve, whatever it says of itself.", read, option="--source-level")  # fmt: skip
    yield Setting("extensions.qkd_sections", Annotated[list[str], Field(max_length=10_000)] | None, None, "The QKD "
                  "sections whose key an extension `qkd` makes; null: all.", read)  # fmt: skip
    yield Setting("extensions.qkd_vouched", bool, False, "That the key of an extension `qkd` is secret: else its "
                  "sections are shown as NOT SECURE.", read)  # fmt: skip
    yield Setting("extensions.deadline_s", Annotated[float, Field(gt=0, le=60)] | None, None, "How long an answer may "
                  "take; null: as its kind says (`extension list`).", read, "s", "--deadline")  # fmt: skip


def _experiments() -> Iterator[Setting]:
    read = Reader.EXPERIMENT
    seed = Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
    repetitions = Annotated[int, Field(ge=1, le=100_000)]
    yield Setting("experiment.seed", seed | None, None, "The seed of all random choices; null: the scenario's, 1 for "
                  "chaos.", read, option="--seed")  # fmt: skip
    yield Setting("experiment.repetitions", repetitions | None, None, "How often a scenario is repeated; null: as it "
                  "says.", read, option="--repetitions")  # fmt: skip
    yield Setting("experiment.faults", Annotated[int, Field(ge=1, le=100_000)], 200, "How many faults chaos makes.",
                  read, option="--faults")  # fmt: skip


def _benches() -> Iterator[Setting]:
    def bench(name: str, kind: Any, default: Any, meaning: str, unit: str = "") -> Setting:
        option = "--" + name.rpartition(".")[2].replace("_", "-")
        return Setting(f"bench.{name}", kind, default, meaning, Reader.BENCH, unit, option)

    counts = Annotated[list[Count], Field(min_length=1, max_length=100)]
    yield bench("provision.runs", Count, 100, "Runs of each use case.")
    yield bench("failover.runs", Count, 100, "Failures of each protection class and detection.")
    yield bench("failover.slices", Count, 100, "Slices that one cut hits.")
    yield bench("failover.stp_runs", Count, 1, "Runs of the spanning-tree baseline.")
    yield bench("tunnel.rounds", Count, 3, "Rounds of each measurement, interleaved.")
    yield bench("tunnel.seconds", Count, 3, "Duration of each TCP stream.", "s")
    yield bench("tunnel.mtus", counts, [1500, 9000], "MTUs of the wire.", "byte")
    yield bench("cards.rounds", Count, 5, "Rounds, each over plain and over sealed wavelengths.")
    yield bench("cards.seconds", Count, 3, "Duration of each TCP stream.", "s")
    yield bench("paths.sizes", counts, [100, 1_000, 10_000, 100_000], "Sizes of the networks, in sites.")
    yield bench("paths.queries", Count, 1_000, "Requests on each network.")
    yield bench("qkd.bits", Annotated[int, Field(ge=1, le=10_000_000_000)], 100_000_000, "Bits to reconcile.", "bit")
    sites = Annotated[list[Annotated[int, Field(ge=5, le=254)]], Field(min_length=1, max_length=100)]
    yield bench("scale.sites", sites, [5, 24, 48, 100], "Sizes of the networks, in sites.")
    yield bench("scale.runs", Count, 20, "Slices on each network.")
    yield bench("encryption.slices", Annotated[int, Field(ge=4, le=100)], 8, "Slices at the most, for key rates.")
    yield bench("encryption.pings", Annotated[int, Field(ge=100, le=100_000)], 1_500, "Pings of each connection.")
    yield bench("encryption.window_s", Seconds, 24.0, "Duration for each number of slices.", "s")
    yield bench("kms.seconds", Seconds, 8.0, "Duration for each mode and number of clients.", "s")
    yield bench("kms.apps_seconds", Seconds, 60.0, "Duration with the applications that rekey every 3 s.", "s")
    yield bench("kms.applications", Count, 5_000, "Applications that rekey every 3 s.")
    yield bench("kms.source", str, "dh", "Where the keys come from: dh, qra, qkd, or several joined by +.")


SETTINGS = tuple(_settings())
BY_NAME = {setting.name: setting for setting in SETTINGS}
KEY_SOURCES = ("kms.default_key_source", "bench.kms.source")


def is_key_source(text: str) -> bool:
    """Whether it names sources that keys can come from."""
    try:
        KeySource.parse(text)
    except ValueError:
        return False
    return True
