"""What a topology's document may say, field by field: what is parsed, and the JSON Schema that editors complete it by.

Kilometres, Gbit/s of the real network, probabilities, Hz, microseconds, as each field's name or description says.
Text is text here: references and what belongs together are checked in :mod:`topologies.files.expansion`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from topologies.spec import SITE_NAME, Allocation, SecurityClass, Tier

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SITE_PATTERN = f"^{SITE_NAME.pattern}$"
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
CLASS_NAMES = tuple(c.label for c in SecurityClass)

Id = Annotated[str, Field(pattern=ID_PATTERN)]
SiteName = Annotated[str, Field(pattern=SITE_PATTERN)]
ClassName = Literal["none", "dh", "qra", "qkd"]
AllocationName = Literal["shared", "circuit"]
TierName = Literal["cell", "aggregation", "metro", "core"]
Km = Annotated[float, Field(ge=0, le=100_000)]
ClientPorts = Annotated[int, Field(ge=1, le=100_000)]
Gbps = Annotated[float, Field(gt=0, le=1_000_000)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
Probability = Annotated[float, Field(ge=0, le=0.5)]
T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]  # a document has lists, and strictly a list is no tuple

assert get_args(ClassName) == CLASS_NAMES
assert get_args(AllocationName) == tuple(allocation.value for allocation in Allocation)
assert get_args(TierName) == tuple(tier.value for tier in Tier)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False,
                              use_attribute_docstrings=True)  # fmt: skip


class KmePart(_Part):
    """A vendor's key management entity (ETSI GS QKD 014) from which the site's tunnel fetches keys of QKD."""

    url: Annotated[str, Field(max_length=500)]
    """``https://HOST[:PORT]``."""
    ca: FilePath
    """Path of the certificate (PEM) of the authority that the KME is certified by. From the file's own folder, where
    it is relative; so are the next two."""
    cert: FilePath
    """Path of the client's certificate (PEM)."""
    key: FilePath
    """Path of its private key (PEM). Never the key itself."""
    sae: Annotated[str, Field(max_length=200)] = ""
    """The id that the KME knows the site's tunnel by. Default: the common name in ``cert``."""
    qkd_with: Many[SiteName] = ()
    """The sites with whose vendor's KME this one shares keys of QKD. You vouch for that: a connection between two
    sites is called QKD only where both say so."""


class SitePart(_Part):
    """A place with a switch, a host and a key management entity."""

    name: SiteName
    """Unique; also the name of its host."""
    label: Annotated[str, Field(max_length=100)] = ""
    """What people call it, in any script."""
    tier: TierName
    vcpus: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """For slices' compute; 0: none can be placed here."""
    memory_gb: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    x: Annotated[float, Field(ge=0, le=1)] | None = None
    """Place on drawings, 0 (left) to 1 (right). Without x and y it is computed, always the same."""
    y: Annotated[float, Field(ge=0, le=1)] | None = None
    """Place on drawings, 0 (top) to 1 (bottom)."""
    kme: KmePart | None = None
    """A vendor's KME, beside QSlice's own, which goes on to make the other keys."""
    attach: Annotated[str, Field(min_length=1)] | None = None
    """An interface of the machine, ``eth1`` or a virtual machine's TAP, that becomes a port of the site's switch: that
    of its ``attached`` channel. ``up --attach SITE=INTERFACE`` names another."""
    optical_switch: bool = False
    """Connections that cross it go from client port to client port, by a cross-connect that carries that one alone:
    where ``allocation`` is circuit."""


class WavelengthPart(_Part):
    """A DWDM channel between two cards, whose circuits share its fate and its capacity."""

    id: Id
    class_: ClassName = Field(alias="class")
    capacity_gbps: Gbps = 100.0
    """Of all its circuits together, in each direction."""
    client_ports: ClientPorts = 10
    """How many circuits it can carry; where ``allocation`` is circuit, how many hops of connections in all."""
    client_gbps: Gbps | None = None
    """Of one client port: what a connection can have where ``allocation`` is circuit. Default: an even share."""
    encryptor: bool | None = None
    """Whether its cards encrypt. Default: where it has a class. Without, its class is that of keys for hosts alone."""
    ends: tuple[SiteName, SiteName] | None = Field(default=None, strict=False)
    """The sites where its two cards stand. Default: the ends of its first circuit."""


class QkdPart(_Part):
    """Parameters of a QKD section (docs/explanation/kms.md)."""

    attenuation_db_per_km: Annotated[float, Field(ge=0, le=1000)] = 0.2
    pulse_rate_hz: Annotated[float, Field(gt=0, le=1e12)] = 10_000_000.0
    detector_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.2
    dark_count_probability: Probability = 1e-6
    """Per gate, both detectors together."""
    misalignment: Probability = 0.015
    afterpulse_probability: Probability = 0.005
    dead_time_us: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    error_correction_efficiency: Annotated[float, Field(ge=1, le=2)] = 1.16
    """Disclosed bits over Shannon's limit."""
    abort_qber: Annotated[float, Field(gt=0, le=0.11)] = 0.11
    protocol: Literal["bb84", "cow"] = "bb84"
    model: Literal["full", "rate"] = "full"
    """Whether every step is simulated, or keys come at the analytic rate. The protocol cow has rate alone."""
    restart_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """How long it makes no key after a fault, an eavesdropper or the return of a node, seconds."""


class FibreQkdPart(QkdPart):
    """QKD over a fibre: one section, or several in a row."""

    trusted_nodes: Annotated[int, Field(ge=0, le=200)] = 0
    """How many divide the fibre into sections of equal length."""


class SectionPart(QkdPart):
    """A quantum channel between two QKD nodes: sites, or trusted nodes of any name."""

    id: Id
    a: Id
    b: Id
    km: Km
    risk_groups: Many[Id] = ()
    """What takes it down when it fails: the fibre that it shares with channels."""


class QkdLinkPart(_Part):
    """Key transport between two sites over sections in a row."""

    id: Id
    a: SiteName
    b: SiteName
    sections: Annotated[Many[Id], Field(min_length=1)]


class ChannelPart(_Part):
    """A circuit between two sites on a wavelength."""

    id: Id
    a: SiteName
    b: SiteName
    wavelength: Id
    km: Km
    capacity_gbps: Gbps | None = None
    """Default: its wavelength's."""
    risk_groups: Many[Id] = ()
    """What else takes it down when it fails, beside the wavelength: fibres, ducts."""
    dark: bool = False
    """A spare, switched off until the network would be partitioned without it."""
    attached: bool = False
    """Between the interfaces attached at both sites: what is between those is not QSlice's."""


class FibreChannelPart(_Part):
    """A channel on a fibre: of a class, on a wavelength of its own; or on a wavelength that is declared."""

    class_: ClassName | None = Field(default=None, alias="class")
    wavelength: Id | None = None
    """One of ``wavelengths``, shared with other fibres' circuits."""
    id: Id | None = None
    """Default: the fibre's ends and the class or the wavelength."""
    capacity_gbps: Gbps | None = None
    client_ports: ClientPorts | None = None
    """Of its own wavelength, like the next two: see there."""
    client_gbps: Gbps | None = None
    encryptor: bool | None = None
    dark: bool = False


class NamedChannel(_Part):
    """A channel given by one word: a class, or else the id of a wavelength."""

    word: str


def _entry(value: Any) -> Any:
    return NamedChannel(word=value) if isinstance(value, str) else value


FibreChannel = Annotated[
    Annotated[NamedChannel, Tag("word")] | Annotated[FibreChannelPart, Tag("mapping")],
    Discriminator(lambda value: "word" if isinstance(value, NamedChannel) else "mapping"),
    BeforeValidator(_entry, json_schema_input_type=ClassName | Id | FibreChannelPart),
]


class FibrePart(_Part):
    """An adjacency: channels between two sites that share its risk, and a QKD section where it has QKD."""

    a: SiteName
    b: SiteName
    km: Km
    channels: Annotated[Many[FibreChannel], Field(min_length=1)]
    """Classes, ids of wavelengths, or mappings."""
    name: Id | None = None
    """Needed where two fibres join the same sites; default: A-B."""
    risk_groups: Many[Id] | None = None
    """What takes down everything on it; default: the fibre itself."""
    attached: bool = False
    """Somebody else's: its one channel runs between the interfaces attached at both sites."""
    qkd: bool | FibreQkdPart | None = None
    """Whether it has QKD, or the parameters of its sections. Default: where a channel of class qkd is not dark, unless
    the document has ``sections`` or the fibre is attached."""


class Document(_Part):
    """A network: the compact form has fibres; the full form, which it expands to, has what they consist of."""

    name: Id
    description: Annotated[str, Field(max_length=2000)] = ""
    shaped: bool = True
    """False leaves channels at the machine's own speed."""
    allocation: AllocationName = "shared"
    """Whether connections share the capacity of channels, or each takes a client port at both ends of each hop of its
    path."""
    sites: Annotated[Many[SitePart], Field(min_length=1)]
    fibres: Many[FibrePart] = ()
    wavelengths: Many[WavelengthPart] = ()
    """Those that several circuits share; a fibre's other channels have one each."""
    channels: Many[ChannelPart] = ()
    sections: Many[SectionPart] | None = None
    qkd_links: Many[QkdLinkPart] | None = None
    """Default: one for the section of each fibre."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a document, for editors and for others' programs."""
    return {"$schema": SCHEMA_DIALECT, **Document.model_json_schema(by_alias=True), "title": "QSlice topology"}
