"""ETSI 014 bodies: the texts of the standard to the letter, and what is accepted."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from kms.delivery.requests import DeliveredKey, EncRequest
from kms.errors import ExchangeError, ExhaustedError, KeysNotFoundError, RequestError, StoreError, UnauthorisedError
from kms.interfaces import etsi014_schema
from kms.keys.key import QKD, KeySource
from kms.keys.limits import Limits

LIMITS = Limits()
KEY_ID = "550e8400-e29b-41d4-a716-446655440000"


def request(**fields: Any) -> EncRequest:
    return etsi014_schema.parse_key_request(json.dumps(fields).encode(), LIMITS)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"number": null, "size": null}'])
def test_an_empty_request_asks_for_one_key_of_the_default_size(body: bytes) -> None:
    assert etsi014_schema.parse_key_request(body, LIMITS) == EncRequest(1, 256)


def test_a_full_request() -> None:
    parsed = request(
        number=3, size=128, additional_slave_SAE_IDs=["x", "y"],
        extension_mandatory=[{}, {"key_source": "qra+qkd"}], extension_optional=[{"anything": [1, {}]}],
    )  # fmt: skip
    assert parsed == EncRequest(3, 128, ("x", "y"), KeySource.parse("qkd+qra"))


UNSUPPORTED = "not all extension_mandatory parameters are supported"
UNMET = "not all extension_mandatory request options could be met"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 100}, "size shall be a multiple of 8"),
        ({"size": 2049}, "size shall be a multiple of 8"),
        ({"size": 56}, "size shall lie between min_key_size (64) and max_key_size (1024)"),
        ({"size": 1032}, "size shall lie between min_key_size (64) and max_key_size (1024)"),
        ({"number": 0}, "number shall be at least 1"),
        ({"number": 129}, "number shall be no more than max_key_per_request (128)"),
        ({"extension_mandatory": [{"colour": "red"}]}, UNSUPPORTED),
        ({"extension_mandatory": [{"key_source": "qkd", "x": 1}]}, UNSUPPORTED),
        ({"extension_mandatory": [{"key_source": "rsa"}]}, UNMET),
        ({"extension_mandatory": [{"key_source": 5}]}, UNMET),
        ({"extension_mandatory": [{"key_source": "none"}]}, UNMET),
        ({"extension_mandatory": [{"key_source": "qkd"}, {"key_source": "dh"}]}, UNMET),
    ],
)
def test_what_may_not_be_asked_for_is_refused_in_the_standards_words(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        request(**fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "body",
    [
        b"not json", b"[]", b"null", b"5", b'{"number": "2"}', b'{"number": 1.5}', b'{"number": true}',
        b'{"size": [256]}',
        b'{"number": 1, "number": 2}', b'{"number": NaN}', b'{"nmber": 1}',
        b'{"extension_mandatory": {"key_source": "dh"}}',
        b'{"additional_slave_SAE_IDs": "x"}', b'{"additional_slave_SAE_IDs": [1]}', b"\xff\xfe", b"[" * 50_000,
        b'{"number": 1' + b"0" * 5_000 + b"}", b'{"additional_slave_SAE_IDs": ["x", "x"]}',
    ],
)  # fmt: skip
def test_malformed_requests_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        etsi014_schema.parse_key_request(body, LIMITS)


def test_a_query_has_number_and_size_only() -> None:
    assert etsi014_schema.parse_key_query([("number", "2"), ("size", "512")], LIMITS) == EncRequest(2, 512)
    for query in ([("extension_mandatory", "x")], [("number", "1"), ("number", "1")], [("size", "-8")], [("size", "²")],
                  [("number", "")], [("number", "9" * 5_000)]):  # fmt: skip
        with pytest.raises(RequestError):
            etsi014_schema.parse_key_query(query, LIMITS)


def ids(*key_ids: Any) -> tuple[uuid.UUID, ...]:
    return etsi014_schema.parse_key_ids(json.dumps({"key_IDs": [{"key_ID": k} for k in key_ids]}).encode(), LIMITS)


def test_key_ids_are_uuids_in_text_form() -> None:
    assert ids(KEY_ID, KEY_ID.upper().replace("5", "6")) == (
        uuid.UUID(KEY_ID),
        uuid.UUID(KEY_ID.upper().replace("5", "6")),
    )
    assert etsi014_schema.parse_key_id_query([("key_ID", KEY_ID)]) == (uuid.UUID(KEY_ID),)


@pytest.mark.parametrize(
    "text", ["", "x", KEY_ID[1:], "{" + KEY_ID + "}", "urn:uuid:" + KEY_ID, KEY_ID.replace("-", ""), 7]
)
def test_what_is_no_uuid_is_refused(text: Any) -> None:
    with pytest.raises(RequestError):
        ids(text)


def test_limits_on_key_ids() -> None:
    with pytest.raises(RequestError, match="max_key_per_request"):
        ids(*(str(uuid.uuid4()) for _ in range(129)))
    with pytest.raises(RequestError, match="twice"):
        ids(KEY_ID, KEY_ID)
    with pytest.raises(RequestError):
        ids()
    for query in ([], [("key_ID", KEY_ID)] * 2, [("key_id", KEY_ID)]):
        with pytest.raises(RequestError):
            etsi014_schema.parse_key_id_query(query)


def test_the_container_carries_id_key_and_source() -> None:
    body = json.loads(etsi014_schema.key_container([DeliveredKey(uuid.UUID(KEY_ID), b"\x00\xff" * 16, QKD)]))
    (entry,) = body["keys"]
    assert entry["key_ID"] == KEY_ID
    assert base64.b64decode(entry["key"]) == b"\x00\xff" * 16
    assert entry["key_extension"] == {"key_source": "qkd", "route": "direct"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(RequestError("x"), 400), (KeysNotFoundError(("id",)), 400), (UnauthorisedError("x"), 401),
     (ExhaustedError("x"), 503), (ExchangeError("x"), 503), (StoreError("x"), 503)],
)  # fmt: skip
def test_errors_map_to_the_statuses_of_the_standard(error: Any, status: int) -> None:
    assert etsi014_schema.http_status(error) == status
    assert etsi014_schema.error_body(error)["message"]


def test_missing_keys_are_named_in_the_details() -> None:
    body = etsi014_schema.error_body(KeysNotFoundError((KEY_ID,)))
    assert body == {
        "message": "one or more keys specified are not found on KME",
        "details": [{"key_ID": KEY_ID}],
    }


def test_a_delivered_key_does_not_show_its_bytes() -> None:
    assert "seekrit" not in repr(DeliveredKey(uuid.UUID(KEY_ID), b"seekrit", QKD))
