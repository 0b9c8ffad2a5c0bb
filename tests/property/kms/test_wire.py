"""Whatever bytes come in, the parser either understands them within the limits or says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kms.errors import RequestError
from kms.interfaces import etsi014_schema
from kms.keys.limits import Limits

LIMITS = Limits()
_Result = TypeVar("_Result")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
near_requests = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(-1, 200) | json_values,
        "size": st.sampled_from([8, 64, 100, 128, 256, 1024, 1032]) | json_values,
        "additional_slave_SAE_IDs": st.lists(st.text(max_size=4), max_size=10) | json_values,
        "extension_mandatory": st.lists(st.dictionaries(st.sampled_from(["key_source", "x"]), json_values)),
        "surprise": json_values,
    },
)


def understood(parse: Callable[[], _Result]) -> _Result | None:
    """What was parsed; None when it was refused with an Error body that can be sent."""
    try:
        return parse()
    except RequestError as error:
        body = etsi014_schema.error_body(error)
    assert json.loads(json.dumps(body))["message"]
    return None


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine generates slowly
@given(st.binary(max_size=200) | near_requests.map(lambda r: json.dumps(r).encode()))
def test_a_key_request_is_legal_or_refused(body: bytes) -> None:
    request = understood(lambda: etsi014_schema.parse_key_request(body, LIMITS))
    if request is None:
        return
    assert 1 <= request.number <= LIMITS.max_key_per_request
    assert LIMITS.min_key_size <= request.size_bits <= LIMITS.max_key_size
    assert request.size_bits % 8 == 0
    assert len(request.additional_slaves) <= LIMITS.max_sae_id_count


@given(st.binary(max_size=200) | json_values.map(lambda v: json.dumps({"key_IDs": v}).encode()))
def test_key_ids_are_legal_or_refused(body: bytes) -> None:
    understood(lambda: etsi014_schema.parse_key_ids(body, LIMITS))


@given(st.lists(st.tuples(st.sampled_from(["number", "size", "key_ID", "?"]), st.text(max_size=12)), max_size=3))
def test_queries_are_legal_or_refused(query: list[tuple[str, str]]) -> None:
    understood(lambda: etsi014_schema.parse_key_query(query, LIMITS))
    understood(lambda: etsi014_schema.parse_key_id_query(query))
