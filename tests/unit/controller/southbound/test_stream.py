"""The TLS connection to a switch: what comes after an end is never taken for OpenFlow; what is broken ends."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.southbound.tls_stream import TlsStream
from kms.pki import authority as pki
from scripts.testbed.paths import REPOSITORY

Ends = tuple[ssl.SSLSocket, ssl.SSLSocket, socket.socket]
OPENFLOW_13 = b"\x04"


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    """The controller's end, the switch's end, and the bare connection below the switch's."""
    authority = pki.ensure_ca(tmp_path / "pki")
    pki.issue_server(tmp_path / "pki", "switches", ["127.0.0.1"], tmp_path / "own")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "own" / "cert.pem", tmp_path / "own" / "key.pem")
    client = ssl.create_default_context(cafile=str(authority))
    client.check_hostname = False
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bare = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    made: list[ssl.SSLSocket] = []
    below = bare.dup()
    thread = threading.Thread(target=lambda: made.append(client.wrap_socket(bare)))
    thread.start()
    near = server.wrap_socket(accepted, server_side=True)
    thread.join()
    with near, made[0], below:
        yield near, made[0], below


def test_what_came_before_the_end_is_read_as_what_it_is(ends: Ends) -> None:
    near, far, _ = ends
    stream = TlsStream(near)
    far.sendall(OPENFLOW_13 * 24)
    assert stream.recv(8) == OPENFLOW_13 * 8
    far.sendall(OPENFLOW_13 * 8)
    stream.shutdown(socket.SHUT_WR)  # as Ryu does when it cannot send
    came = b""
    while octets := stream.recv(8):
        came += octets
    assert set(came) == set(OPENFLOW_13), "a TLS record, as it is on the wire, is no OpenFlow"


def test_ssl_alone_would_hand_over_what_is_on_the_wire(ends: Ends) -> None:
    near, far, _ = ends
    far.sendall(OPENFLOW_13 * 8)
    near.shutdown(socket.SHUT_WR)
    assert near.recv(8)[0] == 0x17, (
        "if this fails, controller/southbound/switch_listener.py may have become unnecessary"
    )


def test_both_sides_learn_of_the_end_at_once(ends: Ends) -> None:
    near, far, _ = ends
    TlsStream(near).shutdown(socket.SHUT_WR)
    far.settimeout(5)
    assert far.recv(1) == b""


@pytest.mark.parametrize("break_it", ["garbage", "closed"])
def test_what_is_broken_is_a_connection_error_and_not_tried_again(ends: Ends, break_it: str) -> None:
    near, _, below = ends
    stream = TlsStream(near)
    if break_it == "garbage":
        below.sendall(b"GET / HTTP/1.1\r\n\r\n")
    else:
        stream.close()
    with pytest.raises(OSError) as caught:
        stream.recv(8)
    assert not isinstance(caught.value, ssl.SSLError), "Ryu tries again for ever after those"
    assert not isinstance(caught.value, TimeoutError)
    if break_it == "closed":
        with pytest.raises(OSError):
            stream.sendall(b"x")


def test_a_pause_is_a_timeout(ends: Ends) -> None:
    stream = TlsStream(ends[0])
    stream.settimeout(0.01)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with pytest.raises(TimeoutError):
        stream.recv(8)
    stream.sendall(b"still there")
    assert ends[1].recv(11) == b"still there"


# In a process of its own: eventlet patches the whole process.
PROGRAM = """
import controller.__main__
import eventlet, socket, ssl, sys
from pathlib import Path
from controller.schema.config import OpenFlowConfig
from controller.southbound.switch_listener import SwitchListener

own, authority = Path(sys.argv[1]), Path(sys.argv[2])
with eventlet.listen(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
came = eventlet.event.Event()

def handle(stream, address):
    stream.settimeout(0.2)
    read = stream.recv(8)
    try:
        while True:  # the other end reads nothing
            stream.sendall(bytes(1 << 20))
    except TimeoutError:
        stream.shutdown(socket.SHUT_WR)
    while octets := stream.recv(8):
        read += octets
    came.send(read)

config = OpenFlowConfig(port=port, key=own / "key.pem", cert=own / "cert.pem", ca=authority)
eventlet.spawn(SwitchListener(config, handle).serve)
context = ssl.create_default_context(cafile=str(authority))
context.check_hostname = False
context.load_cert_chain(own / "cert.pem", own / "key.pem")
with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as switch:
    switch.sendall(bytes([4]) * 24)
    with eventlet.Timeout(10):
        read = came.wait()
assert set(read) == {4} and len(read) == 24, read
print("fine")
"""


def test_it_is_the_same_under_eventlet_when_nothing_more_can_be_sent(tmp_path: Path) -> None:
    authority = pki.ensure_ca(tmp_path / "pki")
    pki.issue_server(tmp_path / "pki", "switches", ["127.0.0.1"], tmp_path / "own")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "own"), str(authority)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout.split()[-1:] == ["fine"], done.stderr
