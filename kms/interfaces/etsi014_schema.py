"""ETSI GS QKD 014 v1.1.1 on the wire: bodies in and out, to the letter of clause 6. No sockets here.

Requests are parsed strictly (unknown fields, duplicate names and wrong types are refused); null stands for an absent
optional field, because many clients write it so.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import orjson
from pydantic import Field

from kms.delivery.requests import EXTENSION_UNMET, DeliveredKey, EncRequest
from kms.errors import ExchangeError, ExhaustedError, KmsError, RequestError, StoreError, UnauthorisedError
from kms.interfaces.request_bodies import StrictModel, load_json, parse_uuid, validate
from kms.keys.key import MAX_DISJOINT_RELAYS, KeySource, RelayKind

SIZE_NOT_OCTETS = "size shall be a multiple of 8"
EXTENSION_UNKNOWN = "not all extension_mandatory parameters are supported"
MAX_AGE_S = 1_000_000_000

# What an error is to the caller; the first match counts.
HTTP_STATUS: tuple[tuple[type[KmsError], int], ...] = (
    (RequestError, 400),
    (UnauthorisedError, 401),
    (ExhaustedError, 503),
    (ExchangeError, 503),
    (StoreError, 503),
)


class LimitsView(Protocol):
    """The limits that requests are checked against (:class:`kms.keys.limits.Limits`)."""

    @property
    def key_size(self) -> int: ...
    @property
    def min_key_size(self) -> int: ...
    @property
    def max_key_size(self) -> int: ...
    @property
    def max_key_per_request(self) -> int: ...
    @property
    def max_sae_id_count(self) -> int: ...


class _KeyRequestBody(StrictModel):
    number: int | None = None
    size: int | None = None
    additional_slave_SAE_IDs: list[str] | None = None
    extension_mandatory: list[dict[str, Any]] | None = None
    extension_optional: list[dict[str, Any]] | None = None


class _KeyIdEntry(StrictModel):
    key_ID: str
    key_ID_extension: dict[str, Any] | None = None


class _KeyIdsBody(StrictModel):
    key_IDs: Annotated[list[_KeyIdEntry], Field(min_length=1)]
    key_IDs_extension: dict[str, Any] | None = None


def parse_key_request(body: bytes, limits: LimitsView) -> EncRequest:
    """The body of a POST to enc_keys; an empty one asks for the defaults."""
    parsed = validate(_KeyRequestBody, load_json(body) if body.strip() else {})
    return _checked(
        parsed.number, parsed.size, parsed.additional_slave_SAE_IDs or [], parsed.extension_mandatory or [], limits
    )


def parse_key_query(query: Sequence[tuple[str, str]], limits: LimitsView) -> EncRequest:
    """The query of a GET of enc_keys, which has only ``number`` and ``size`` (5.2)."""
    values: dict[str, int] = {}
    for name, text in query:
        if name not in ("number", "size"):
            raise RequestError(f"parameter {name[:64]!r} is not allowed in GET: use POST")
        if name in values:
            raise RequestError(f"parameter {name!r} is given twice")
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise RequestError(f"{name} shall be an integer")
        values[name] = int(text)
    return _checked(values.get("number"), values.get("size"), [], [], limits)


def parse_key_ids(body: bytes, limits: LimitsView) -> tuple[uuid.UUID, ...]:
    """The body of a POST to dec_keys (6.4)."""
    parsed = validate(_KeyIdsBody, load_json(body))
    if len(parsed.key_IDs) > limits.max_key_per_request:
        raise RequestError(f"more than max_key_per_request ({limits.max_key_per_request}) key_IDs")
    key_ids = tuple(parse_uuid(entry.key_ID) for entry in parsed.key_IDs)
    if len(set(key_ids)) != len(key_ids):
        raise RequestError("a key_ID is given twice")
    return key_ids


def parse_key_id_query(query: Sequence[tuple[str, str]]) -> tuple[uuid.UUID, ...]:
    """The query of a GET of dec_keys, which has exactly one ``key_ID`` (5.3)."""
    if len(query) != 1 or query[0][0] != "key_ID":
        raise RequestError("GET takes exactly one key_ID: use POST for more")
    return (parse_uuid(query[0][1]),)


def key_container(keys: Sequence[DeliveredKey]) -> bytes:
    """The Key container (6.3) as JSON."""
    return orjson.dumps(
        {
            "keys": [
                {
                    "key_ID": delivered.key_id,
                    "key": base64.b64encode(delivered.key).decode(),
                    "key_extension": _extension(delivered),
                }
                for delivered in keys
            ]
        }
    )


def _extension(delivered: DeliveredKey) -> dict[str, Any]:
    """What a key says of itself."""
    said: dict[str, Any] = {"key_source": delivered.source.label}
    if delivered.route is not None:
        said["route"] = delivered.route.value
    return said if delivered.relays == 1 else {**said, "disjoint_relays": delivered.relays}


def error_body(error: KmsError) -> dict[str, Any]:
    body: dict[str, Any] = {"message": str(error)}
    if isinstance(error, RequestError) and error.details:
        body["details"] = list(error.details)
    return body


def http_status(error: KmsError) -> int:
    for kind, status in HTTP_STATUS:
        if isinstance(error, kind):
            return status
    return 503


def _checked(
    number: int | None,
    size: int | None,
    additional_slaves: Sequence[str],
    mandatory: Sequence[Mapping[str, Any]],
    limits: LimitsView,
) -> EncRequest:
    number = 1 if number is None else number
    size = limits.key_size if size is None else size
    if number < 1:
        raise RequestError("number shall be at least 1")
    if number > limits.max_key_per_request:
        raise RequestError(f"number shall be no more than max_key_per_request ({limits.max_key_per_request})")
    if size % 8:
        raise RequestError(SIZE_NOT_OCTETS)
    if not limits.min_key_size <= size <= limits.max_key_size:
        raise RequestError(
            f"size shall lie between min_key_size ({limits.min_key_size}) and max_key_size ({limits.max_key_size})"
        )
    if len(additional_slaves) > limits.max_sae_id_count:
        raise RequestError(f"more than max_SAE_ID_count ({limits.max_sae_id_count}) additional_slave_SAE_IDs")
    if len(set(additional_slaves)) != len(additional_slaves):
        raise RequestError("an additional_slave_SAE_ID is given twice")
    return EncRequest(number, size, tuple(additional_slaves), **_mandatory(mandatory))


def _parse_source(value: Any) -> KeySource:
    return KeySource.parse(value if isinstance(value, str) else "")


def _parse_route(value: Any) -> RelayKind:
    try:
        return RelayKind(value)
    except ValueError:
        raise ValueError("it is direct or relayed") from None


def _parse_age(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_AGE_S:
        raise ValueError(f"it is a number of seconds up to {MAX_AGE_S}")
    return float(value)


def _parse_relays(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DISJOINT_RELAYS:
        raise ValueError(f"it is a number of relays up to {MAX_DISJOINT_RELAYS}")
    return value


# The extensions that we support, and what they are in an EncRequest.
_EXTENSIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "key_source": ("source", _parse_source),
    "route": ("route", _parse_route),
    "max_age_s": ("max_age_s", _parse_age),
    "disjoint_relays": ("disjoint_relays", _parse_relays),
}


def _mandatory(extensions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Fields of an EncRequest from extension_mandatory, in the standard's words when that cannot be."""
    if any(name not in _EXTENSIONS for extension in extensions for name in extension):
        raise RequestError(EXTENSION_UNKNOWN)
    asked: dict[str, Any] = {}
    for extension in extensions:
        for name, value in extension.items():
            field_name, parse = _EXTENSIONS[name]
            try:
                parsed = parse(value)
            except ValueError as error:
                raise RequestError(EXTENSION_UNMET, ({name: str(error)},)) from None
            if asked.setdefault(field_name, parsed) != parsed:
                raise RequestError(EXTENSION_UNMET, ({name: "asked for twice, differently"},))
    return asked
