"""What cards say of their clients comes out as it went in, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.tunnel.cards.client_status import ClientStatus
from kms.tunnel.errors import Malformed
from kms.tunnel.packet.ethernet import ETHERNET, MAX_CIRCUIT, FrameSelector

STATUSES = st.builds(ClientStatus, st.frozensets(st.integers(1, MAX_CIRCUIT), max_size=40), st.booleans())


@given(STATUSES)
def test_what_is_said_is_heard(said: ClientStatus) -> None:
    frame = said.encode()
    assert ClientStatus.decode(frame) == said
    assert FrameSelector().admits(frame) is ETHERNET


@given(STATUSES, st.data())
def test_a_part_of_it_or_more_is_refused(said: ClientStatus, data: st.DataObject) -> None:
    frame = said.encode()
    cut = data.draw(st.integers(0, len(frame) - 1))
    for other in (frame[:cut], frame + b"\0"):
        with pytest.raises(Malformed):
            ClientStatus.decode(other)
