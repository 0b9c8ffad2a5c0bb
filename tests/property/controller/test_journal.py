"""Whatever slices and connections are, the journal gives them back: every field of every value that it keeps."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model.connection import Connection
from controller.model.recurrence import Recurrence
from controller.model.request import (
    AnyShape,
    ConnectionSpec,
    Match,
    NamedConnection,
    Role,
    SecurityRequirement,
    SliceRequest,
    ThreeRoles,
)
from controller.model.slice_record import SliceRecord
from controller.persistence import codec
from topologies.spec import SecurityClass

T = TypeVar("T")

finite = st.floats(allow_nan=False, allow_infinity=False)
securities = st.builds(
    SecurityRequirement,
    st.lists(st.sampled_from(SecurityClass), min_size=1, max_size=3, unique=True)
    .filter(lambda sources: len(sources) == 1 or SecurityClass.NONE not in sources)
    .map(tuple),
    st.sampled_from(Match),
)
st.register_type_strategy(float, finite)
st.register_type_strategy(SecurityRequirement, securities)


def whole(kind: type[T], **given_: Any) -> st.SearchStrategy[T]:
    """Values of a dataclass with all fields drawn by their types, those with defaults too."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: given_.get(f.name, st.from_type(hints[f.name])) for f in fields(kind)})  # type: ignore[arg-type]


specs = whole(ConnectionSpec)
three_roles = whole(ThreeRoles, by_role=st.fixed_dictionaries(dict.fromkeys(Role, specs)))
any_shapes = whole(AnyShape, listed=st.lists(whole(NamedConnection, spec=specs), max_size=3).map(tuple))
recurrences = st.sampled_from(["UTC", "Europe/London", "Pacific/Apia"]).flatmap(
    lambda name: whole(Recurrence, zone=st.just(ZoneInfo(name)), zone_name=st.just(name))
)
requests = whole(SliceRequest, shape=three_roles | any_shapes, recurrence=st.none() | recurrences)
connections = whole(Connection, slow_rekey=st.none())  # the one thing that is not kept
records = whole(SliceRecord, request=requests)


@settings(max_examples=200)
@given(connections)
def test_a_connection_is_read_as_it_was_written(connection: Connection) -> None:
    assert codec.decode_connection(json.loads(json.dumps(codec.encode_connection(connection)))) == connection


@settings(max_examples=200)
@given(records)
def test_a_slice_is_read_as_it_was_written(record: SliceRecord) -> None:
    raw = json.loads(json.dumps(codec.encode_slice(record)))
    assert codec.decode_slice(raw, record.connection_ids) == record
