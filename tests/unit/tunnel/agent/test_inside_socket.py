"""The socket of the probes inside a tunnel: a connection goes on without it."""

from __future__ import annotations

import errno
import os

from kms.tunnel.agent.inside_socket import InsideSocket
from tests.support.descriptors import without_descriptors
from tests.unit.tunnel.agent.test_agent import connection


def test_without_a_descriptor_there_are_no_probes_inside_which_is_told() -> None:
    inside = InsideSocket(connection())
    with without_descriptors():
        assert inside.open() is None
    assert inside.error is not None
    assert inside.error.endswith(os.strerror(errno.EMFILE))
    inside.send(b"goes nowhere")
    assert inside.receive() == []
    assert inside.sent == 0
