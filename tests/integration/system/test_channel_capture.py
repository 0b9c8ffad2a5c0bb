"""The capture has every frame of an interface, also after it went down and came up again, and counts none twice."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from scripts.measure.capture.channels import ChannelCapture
from tests.support.wait import wait_until

pytestmark = pytest.mark.needs_root
NEAR, FAR = "qs-cap-a", "qs-cap-b"
HEADER = b"\x02\0\0\0\0\2" + b"\x02\0\0\0\0\1" + b"\x88\xb5"  # EtherType for local experiments (IEEE 802)


def ip(*words: str) -> None:
    subprocess.run(["ip", "link", *words], check=True)


@pytest.fixture
def wire() -> Iterator[None]:
    ip("add", NEAR, "type", "veth", "peer", "name", FAR)
    try:
        ip("set", NEAR, "up")
        ip("set", FAR, "up")
        yield
    finally:
        ip("del", NEAR)


def send(*payloads: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((FAR, 0))
        for payload in payloads:
            out.send(HEADER + payload.ljust(60, b"."))


@pytest.mark.usefixtures("wire")
def test_link_that_goes_down_and_comes_up_is_captured_throughout() -> None:
    seen: list[bytes] = []

    def take_frame(channel: str, frame: bytes) -> None:
        assert channel == "x"
        if frame.startswith(HEADER):
            seen.append(frame[len(HEADER) :].rstrip(b"."))

    with ChannelCapture({"x": NEAR}, take_frame) as capture:
        send(b"before")
        wait_until(lambda: b"before" in seen, timeout_s=10)
        ip("set", NEAR, "down")
        ip("set", NEAR, "up")
        send(*(b"after %d" % n for n in range(1000)))
    assert seen == [b"before", *(b"after %d" % n for n in range(1000))]
    assert capture.dropped == {"x": 0}
