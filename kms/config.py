"""The KMS's configuration file: parsed once, at the edge. Unknown and impossible fields are refused by their path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kms.errors import ConfigError
from kms.keys.key import KeySource
from kms.keys.limits import Limits, StreamTerms
from kms.keys.sae_id import is_sae_id
from kms.qkdnet.topology import crossing_directions
from kms.sources.kems import AUTO, kem_names
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import Model, Protocol

# What nobody means: a number beyond these is a slip, and would be found out when memory or time has run out.
MOST_KEYS = 10_000_000
MOST_BITS = 1 << 32
LONGEST_S = 10 * 365 * 86_400.0

_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


# The keys of kms.sources.dh.DH_GROUPS.
DhGroup = Literal[
    "x25519", "x448", "secp256r1", "secp384r1", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192",
]  # fmt: skip


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SiteConfig(_Model):
    """One KME: where it listens, and the SAEs whose home it is."""

    site: _Name
    kme_id: _Name
    host: str
    port: Annotated[int, Field(ge=0, le=65535)] = 8443  # 0 picks a free one
    peer_port: Annotated[int, Field(ge=1, le=65535)] = 8444  # for the other KMEs, in the distributed form
    sae_ids: tuple[str, ...] = ()


class SectionConfig(_Model):
    """A QKD section; the physical fields are those of :class:`ChannelParameters`.

    ``model`` says whether every step of the protocol is simulated or its rate alone; ``cow`` has a rate only.
    """

    id: _Name
    a: str
    b: str
    length_km: float
    attenuation_db_per_km: float = 0.2
    pulse_rate_hz: float = 10_000_000.0
    detector_efficiency: float = 0.2
    dark_count_probability: float = 1e-6
    misalignment: float = 0.015
    afterpulse_probability: float = 0.005
    dead_time_us: float = 1.0
    error_correction_efficiency: float = 1.16
    abort_qber: float = 0.11
    protocol: Protocol = Protocol.BB84
    model: Model = Model.FULL
    restart_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0  # without key after whatever stopped the section
    risk_groups: tuple[str, ...] = ()  # the topology's; here a failure shows by itself

    def channel(self) -> ChannelParameters:
        return ChannelParameters(**{name: getattr(self, name) for name in ChannelParameters.__dataclass_fields__})


class LinkConfig(_Model):
    id: _Name
    a: str
    b: str
    sections: Annotated[tuple[str, ...], Field(min_length=1)]


class PairConfig(_Model):
    """A pool to fill from the start, before anybody asks."""

    a: str
    b: str
    key_source: str


class QuotaConfig(_Model):
    """What one SAE may take: bits per second of key, requests per second. None: as much as there is.

    Of the key streams that it opens (ETSI 004): at most what priority, and how many at a time.
    """

    bits_per_s: Annotated[float, Field(gt=0, le=1e12)] | None = None
    requests_per_s: Annotated[float, Field(gt=0, le=1e9)] | None = None
    stream_priority: Annotated[int, Field(ge=0, le=255)] = StreamTerms.priority
    max_streams: Annotated[int, Field(ge=0, le=1_000_000)] = StreamTerms.max_streams

    def stream_terms(self) -> StreamTerms:
        return StreamTerms(self.stream_priority, self.max_streams)


# More than any application of ours needs, and less than what a KMS can do: one SAE alone does not keep it busy.
DEFAULT_QUOTA = QuotaConfig(bits_per_s=4_000_000.0, requests_per_s=1_000.0)


class LimitsConfig(_Model):
    """:class:`Limits`, and what they may be."""

    key_size: Annotated[int, Field(ge=8, le=8192)] = Limits.key_size
    min_key_size: Annotated[int, Field(ge=8, le=8192)] = Limits.min_key_size
    max_key_size: Annotated[int, Field(ge=8, le=8192)] = Limits.max_key_size
    max_key_per_request: Annotated[int, Field(ge=1, le=MOST_KEYS)] = Limits.max_key_per_request
    max_key_count: Annotated[int, Field(ge=1, le=MOST_KEYS)] = Limits.max_key_count
    pool_target: Annotated[int, Field(ge=1, le=MOST_KEYS)] = Limits.pool_target
    max_sae_id_count: Annotated[int, Field(ge=0, le=1000)] = Limits.max_sae_id_count
    max_awaiting_keys: Annotated[int, Field(ge=1, le=MOST_KEYS)] = Limits.max_awaiting_keys
    max_awaiting_bits: Annotated[int, Field(ge=8, le=MOST_BITS)] = Limits.max_awaiting_bits
    awaiting_share_of_sae: Annotated[float, Field(gt=0, le=1)] = Limits.awaiting_share_of_sae
    awaiting_share_of_pair: Annotated[float, Field(gt=0, le=1)] = Limits.awaiting_share_of_pair
    awaiting_share_booked: Annotated[float, Field(ge=0, lt=1)] = Limits.awaiting_share_booked
    max_body_bytes: Annotated[int, Field(ge=256, le=1 << 26)] = Limits.max_body_bytes

    def limits(self) -> Limits:
        return Limits(**self.model_dump())


class QkdConfig(_Model):
    """How the sections are run: see :mod:`kms.sources.qkd.section`."""

    prefill_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0  # how long the links ran before the KMS started
    buffer_bits: Annotated[int, Field(ge=1 << 13, le=1 << 28)] = 1 << 18


class _Extension(_Model):
    """Somebody else's code (scripts/extensions/naming.py)."""

    target: Annotated[str, Field(pattern=r"^.+:[A-Za-z_]\w*$")]
    folder: str | None = None
    deadline_s: Annotated[float, Field(gt=0, le=60)] | None = None


class SourceExtension(_Extension):
    """A key source, and the level of its keys."""

    level: Literal["dh", "qra"]


class QkdExtension(_Extension):
    """What makes the key of these ``sections`` (None: of all), and whether the operator vouches for its secrecy."""

    sections: tuple[str, ...] | None = None
    is_vouched: bool = False

    def makes(self, section: str) -> bool:
        return self.sections is None or section in self.sections


class KmsConfig(_Model):
    """The whole file."""

    state_dir: str
    pki_dir: str
    admin_socket: str
    sites: Annotated[tuple[SiteConfig, ...], Field(min_length=1)]
    sections: tuple[SectionConfig, ...] = ()
    qkd_links: tuple[LinkConfig, ...] = ()
    nodes: dict[str, str] = {}  # in the distributed form: the site of a QKD node that is not named like it
    source_extension: SourceExtension | None = None
    qkd_extension: QkdExtension | None = None
    dh_group: DhGroup = "x25519"
    qra_kem: str = AUTO  # see kms.sources.kems.choose_kem
    kme_signature: Literal["ecdsa-p256", "ecdsa-p256+ml-dsa-65"] = "ecdsa-p256"
    default_key_source: str = "qkd"
    pairs: tuple[PairConfig, ...] = ()
    limits: LimitsConfig = LimitsConfig()
    qkd: QkdConfig = QkdConfig()
    quota: QuotaConfig = DEFAULT_QUOTA  # of an SAE that is not named in quotas
    quotas: dict[str, QuotaConfig] = {}
    available_lifetime_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = 86_400.0
    awaiting_lifetime_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = 3_600.0
    stream_lease_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = 600.0


def load_config(path: Path) -> KmsConfig:
    """The configuration in a JSON file; ConfigError names the field that cannot be."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), str(error.strerror)) from error
    return parse_config(text)


def parse_config(text: bytes | str) -> KmsConfig:
    try:
        config = KmsConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "configuration"
        raise ConfigError(place, str(first["msg"])) from None
    _check_sites(config)
    _check_sections(config)
    _check_links(config)
    _check_sources(config)
    return config


def _check_sites(config: KmsConfig) -> None:
    _require_unique("sites.site", (s.site for s in config.sites))
    _require_unique("sites.kme_id", (s.kme_id for s in config.sites))
    _require_unique("sites.host and port", (f"{s.host}:{s.port}" for s in config.sites if s.port))
    _require_unique("sites.sae_ids", (sae for s in config.sites for sae in s.sae_ids))
    for n, site in enumerate(config.sites):
        for m, sae in enumerate(site.sae_ids):
            if not is_sae_id(sae):
                raise ConfigError(f"sites.{n}.sae_ids.{m}", f"{sae!r} is not an SAE id")
    for sae in config.quotas:
        if not is_sae_id(sae):
            raise ConfigError("quotas", f"{sae!r} is not an SAE id")
    limits = config.limits
    if not limits.min_key_size <= limits.key_size <= limits.max_key_size:
        raise ConfigError("limits.key_size", "it must lie between min_key_size and max_key_size")
    if limits.pool_target > limits.max_key_count:
        raise ConfigError("limits.pool_target", "it must not exceed max_key_count")
    for name in ("key_size", "min_key_size", "max_key_size"):
        if getattr(limits, name) % 8:
            raise ConfigError(f"limits.{name}", "it must be a multiple of 8")


def _check_sections(config: KmsConfig) -> None:
    _require_unique("sections.id", (s.id for s in config.sections))
    for n, section in enumerate(config.sections):
        if section.a == section.b:
            raise ConfigError(f"sections.{n}.b", f"both ends are {section.a}")
        try:
            section.channel()
        except ValueError as error:
            raise ConfigError(f"sections.{n}", str(error)) from None
        if section.protocol is Protocol.COW and section.model is Model.FULL:
            raise ConfigError(f"sections.{n}.model", 'cow has no full simulation, only "rate"')
    chosen = config.qkd_extension
    for n, name in enumerate(() if chosen is None else chosen.sections or ()):
        if name not in {section.id for section in config.sections}:
            raise ConfigError(f"qkd_extension.sections.{n}", f"there is no section {name!r}")


def _check_links(config: KmsConfig) -> None:
    _require_unique("qkd_links.id", (q.id for q in config.qkd_links))
    sites = {s.site for s in config.sites}
    sections = {s.id: s for s in config.sections}
    for n, link in enumerate(config.qkd_links):
        for name in ("a", "b"):
            if getattr(link, name) not in sites:
                raise ConfigError(f"qkd_links.{n}.{name}", f"there is no site {getattr(link, name)!r}")
        if link.a == link.b:
            raise ConfigError(f"qkd_links.{n}.b", f"both ends are {link.a}")
        for m, section in enumerate(link.sections):
            if section not in sections:
                raise ConfigError(f"qkd_links.{n}.sections.{m}", f"there is no section {section!r}")
        chain = [(sections[s].a, sections[s].b) for s in link.sections]
        if crossing_directions(chain, link.a, link.b) is None:
            raise ConfigError(f"qkd_links.{n}.sections", "they do not meet end to end")


def _check_sources(config: KmsConfig) -> None:
    kem_names(config.qra_kem)
    sites = {s.site for s in config.sites}
    named = [("default_key_source", config.default_key_source)]
    named += [(f"pairs.{n}.key_source", pair.key_source) for n, pair in enumerate(config.pairs)]
    for place, text in named:
        try:
            KeySource.parse(text)
        except ValueError as error:
            raise ConfigError(place, str(error)) from None
    for n, pair in enumerate(config.pairs):
        for name in ("a", "b"):
            if getattr(pair, name) not in sites:
                raise ConfigError(f"pairs.{n}.{name}", f"there is no site {getattr(pair, name)!r}")
        if pair.a == pair.b:
            raise ConfigError(f"pairs.{n}.b", f"both ends are {pair.a}")


def _require_unique(place: str, values: Iterable[str]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ConfigError(place, f"{twice[0]!r} is named twice")
