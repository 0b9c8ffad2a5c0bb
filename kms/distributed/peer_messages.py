"""What the KMEs say to each other: each method of the peer interface, with the bodies of its request and its answer.

A body is parsed once, where it comes in; :class:`MalformedMessageError` names the field that is wrong. Octets are
base64 in the JSON. Those that are key material show in no ``repr``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from kms.delivery.key_stream import Status
from kms.errors import MalformedMessageError
from kms.keys.key import MAX_DISJOINT_RELAYS, KeySource, RelayKind
from kms.sources.qkd.modes import AttackKind, StopReason
from kms.sources.qkd.section import SectionState

MOST_KEYS = 1_024  # that one message may name


class Message(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True,
        ser_json_bytes="base64", val_json_bytes="base64",
    )  # fmt: skip


Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
_Kind = TypeVar("_Kind", bound=Message)


def parse(kind: type[_Kind], text: bytes | str) -> _Kind:
    """The JSON text as a message of that kind; MalformedMessageError names the first field that is wrong."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part)[:64] for part in first["loc"]) or "body"
        raise MalformedMessageError(field, first["msg"]) from None


@dataclass(frozen=True)
class Method(Generic[Request, Answer]):
    """A method by its name in the path, and the kinds of its bodies."""

    name: str
    request: type[Request]
    answer: type[Answer]


def _source_of(value: Any) -> KeySource:
    if isinstance(value, KeySource):
        return value
    if not isinstance(value, str):
        raise ValueError("a key source is a text")
    return KeySource.parse(value)


SourceLabel = Annotated[KeySource, PlainValidator(_source_of), PlainSerializer(lambda source: source.label)]
KeyIds = Annotated[tuple[uuid.UUID, ...], Field(min_length=1, max_length=MOST_KEYS)]
Secret = Annotated[bytes, Field(repr=False)]
_Position = Annotated[int, Field(ge=0)]


class Nothing(Message):
    """A body without fields."""


# QKD sections


class SectionReport(Message):
    """How a section is that the answering KME simulates; rates in bit/s."""

    state: SectionState
    stop_reason: StopReason | None
    qber: float | None
    skr_bps: Annotated[float, Field(ge=0)]
    attack: AttackKind
    fraction: Annotated[float, Field(ge=0, le=1)]
    is_cut: bool


class NodeReport(Message):
    """``boot`` is another after every start. ``sendable`` says by section how many octets of pads are left."""

    boot: str
    hosted: dict[str, SectionReport]
    sendable: dict[str, int]


class SectionBits(Message):
    """The bits of one end of a section: to receive with (``forward``) and to send with (``backward``)."""

    section: str
    generation: str
    at: _Position
    forward: Secret
    backward: Secret


# The relay


class Payload(Enum):
    """What a relayed message carries."""

    KEYS = "keys"
    PSKS = "psks"  # QKD bits for the exchange of a hybrid


class SharePosition(Message):
    """Which share of which message: one of ``count`` over disjoint relays."""

    batch: str
    number: _Position
    count: Annotated[int, Field(ge=2, le=MAX_DISJOINT_RELAYS)]


class RelayHeader(Message):
    """What a relayed message is. ``path`` has each section that it crosses, and whether from its first node on."""

    kind: Payload
    source: SourceLabel
    key_ids: KeyIds
    origin: str
    target: str
    path: Annotated[tuple[tuple[str, bool], ...], Field(min_length=1)]
    share: SharePosition | None = None


class RelayedMessage(Message):
    """A message under the pads of the section that comes ``index``-th on its path.

    ``header`` is the text of a :class:`RelayHeader`, as the tag binds it.
    """

    header: str
    index: _Position
    generation: str
    at: _Position
    ciphertext: bytes
    tag: bytes


# Keys


class ExchangeHello(Message):
    hello: bytes
    key_ids: KeyIds


class ExchangeReply(Message):
    reply: bytes


class WrappedKey(Message):
    key_id: uuid.UUID
    wrapping_id: uuid.UUID
    source: SourceLabel
    wrapped: bytes


class Journey(Message):
    """How a key has travelled: :class:`kms.keys.key.Key`, over all of its copies."""

    crossings: _Position
    relays: Annotated[int, Field(ge=1, le=MAX_DISJOINT_RELAYS)]


class EntrustedKeys(Message):
    """Keys of one delivery, kept for the slaves ``awaiting``, who are of those that it ``named``."""

    delivery: uuid.UUID
    master: str
    named: tuple[str, ...]
    at: float
    route: RelayKind | None
    awaiting: Annotated[tuple[str, ...], Field(min_length=1)]
    key_ids: KeyIds
    journeys: tuple[Journey, ...]  # of each key
    is_booked: bool


class Claim(Message):
    """A slave at the asking KME wants a master's keys."""

    slave: str
    master: str
    key_ids: KeyIds


class ClaimAnswer(Message):
    held: bool
    journeys: tuple[Journey, ...] = ()  # of each key that is held


# Key streams (ETSI GS QKD 004)


class StreamQos(Message):
    """:class:`kms.delivery.key_stream.Qos`."""

    key_chunk_size: Annotated[int, Field(ge=1)]
    max_bps: _Position
    min_bps: _Position = 0
    jitter: _Position = 0
    priority: int = 0
    timeout: Annotated[int, Field(ge=1)] = 2_000
    ttl: Annotated[int, Field(ge=1)] = 3_600
    metadata_mimetype: str = "application/json"


class StreamEnd(Message):
    """An end of a stream that the answering KME keeps."""

    key_stream_id: uuid.UUID
    caller: str


class JoinStream(StreamEnd):
    destination: str
    qos: StreamQos


class StreamOpened(Message):
    status: Status
    qos: StreamQos


class JoinAnswer(Message):
    opened: StreamOpened | None  # None: the stream is not kept here


class StreamChunk(StreamEnd):
    index: _Position


class LookAtChunk(StreamChunk):
    next_index: _Position


class OrderedChunk(StreamChunk):
    key_ids: KeyIds


class StreamStatus(Message):
    status: Status


class ChunkTurn(Message):
    """:class:`kms.delivery.key_stream.Turn`."""

    made_at: float
    master: str
    key_ids: KeyIds | None


STATE = Method("state", Nothing, NodeReport)
BITS = Method("bits", SectionBits, Nothing)
RELAY = Method("relay", RelayedMessage, Nothing)
EXCHANGE = Method("exchange", ExchangeHello, ExchangeReply)
WRAPPED = Method("wrapped", WrappedKey, Nothing)
ENTRUST = Method("entrust", EntrustedKeys, Nothing)
CLAIM = Method("claim", Claim, ClaimAnswer)
STREAM_JOIN = Method("stream-join", JoinStream, JoinAnswer)
STREAM_LEAVE = Method("stream-leave", StreamEnd, StreamStatus)
STREAM_LOOK = Method("stream-look", LookAtChunk, StreamStatus)
STREAM_TURN = Method("stream-turn", StreamChunk, ChunkTurn)
STREAM_ORDERED = Method("stream-ordered", OrderedChunk, Nothing)
STREAM_FAILED = Method("stream-failed", StreamChunk, Nothing)
STREAM_FETCHED = Method("stream-fetched", StreamChunk, Nothing)
