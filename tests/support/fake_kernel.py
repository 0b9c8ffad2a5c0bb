"""A kernel's IPsec at the seam of netlink: it keeps what it is told, passes packets by it, and refuses on demand."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kms.tunnel.dataplane import kernel, netlink
from kms.tunnel.dataplane.netlink import Request

_NEWSA, _DELSA, _GETSA, _DELPOLICY, _UPDPOLICY = 0x10, 0x11, 0x12, 0x14, 0x19
_NEWLINK, _DELLINK = 16, 17
_STATE_BYTES, _POLICY_TAIL_AT, _POLICY_BYTES = 224, 152, 168
INDEX = 7  # of every interface

Selector = bytes
Refuse = Callable[[Request], int]


class FakeKernel:
    """One host's. ``refuse`` gives the error number by which a request is refused, or 0."""

    def __init__(self, directory: Path, interface: str) -> None:
        self.states: dict[tuple[bytes, bytes], bytes] = {}  # destination, SPI -> body of what added it
        self.policies: dict[tuple[int, Selector], bytes | None] = {}  # direction, selector -> SPI, None: blocks
        self.asked: list[str] = []
        self.refuse: Refuse = lambda request: 0
        self.has_interface = False
        self.devices = directory / f"{interface}-{id(self):x}"
        self._interface = interface
        self._show_devices()

    def _show_devices(self) -> None:
        line = f"{self._interface}: " + " ".join("0" * 16) + "\n" if self.has_interface else ""
        self.devices.write_text("Inter-| Receive\n face |bytes\n" + line)

    def carry_out(self, requests: Sequence[Request], tolerated: Collection[int], family: int) -> None:
        failed: list[OSError] = []
        for request in requests:
            self.asked.append(request.what)
            number = self.refuse(request) or self._do(request, family)
            if number and number not in tolerated:
                failed.append(OSError(number, f"{request.what}: {os.strerror(number)}"))
        if failed:
            raise failed[0]

    def ask(self, request: Request) -> list[bytes]:
        self.asked.append(request.what)
        number = self.refuse(request)
        if number:
            raise OSError(number, os.strerror(number))
        body = self.states.get((request.body[:4], request.body[16:20]))
        if body is None:
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        return [body]

    def _do(self, request: Request, family: int) -> int:
        body, kind = request.body, request.kind
        if family != netlink.XFRM:
            if kind == _NEWLINK and request.what.startswith("make"):
                if self.has_interface:
                    return errno.EEXIST
                self.has_interface = True
            elif kind == _DELLINK:
                self.has_interface = False
            self._show_devices()
            return 0
        if kind == _NEWSA:
            key = body[56:60], body[72:76]
            if key in self.states:
                return errno.EEXIST
            self.states[key] = body
        elif kind == _DELSA:
            if self.states.pop((body[:4], body[16:20]), None) is None:
                return errno.ESRCH
        elif kind == _UPDPOLICY:
            direction, action = body[_POLICY_TAIL_AT + 8], body[_POLICY_TAIL_AT + 9]
            template = attributes(body[_POLICY_BYTES:]).get(5, b"")
            self.policies[direction, body[:32]] = template[16:20] if action == 0 else None
        elif kind == _DELPOLICY and self.policies.pop((body[60], body[:32]), b"") == b"":
            return errno.ENOENT
        return 0

    def sent_under(self, selector: Selector) -> bytes | None:
        """The SPI of the SA under which a packet of these inner addresses leaves; None: it does not."""
        spi = self.policies.get((1, selector))
        return spi if spi is not None and any(key[1] == spi for key in self.states) else None

    def takes_in(self, selector: Selector, spi: bytes) -> bool:
        return self.policies.get((0, selector)) is not None and any(key[1] == spi for key in self.states)


def attributes(octets: bytes) -> dict[int, bytes]:
    found = {}
    while octets:
        length, kind = struct.unpack_from("=HH", octets)
        found[kind] = octets[4:length]
        octets = octets[(length + 3) // 4 * 4 :]
    return found


class FakeKernels:
    """Which host's kernel is asked is up to whoever acts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.acting: FakeKernel | None = None
        self._monkeypatch = monkeypatch

        def carry_out(
            requests: Sequence[Request], tolerated: Collection[int] = (), family: int = netlink.ROUTE
        ) -> None:
            assert self.acting is not None
            self.acting.carry_out(requests, tolerated, family)

        def ask(request: Request, family: int = netlink.ROUTE) -> list[bytes]:
            assert self.acting is not None
            return self.acting.ask(request)

        monkeypatch.setattr(netlink, "carry_out", carry_out)
        monkeypatch.setattr(netlink, "ask", ask)
        monkeypatch.setattr("socket.if_nametoindex", lambda name: INDEX)

    @contextmanager
    def on(self, host: FakeKernel) -> Iterator[None]:
        before, self.acting = self.acting, host
        self._monkeypatch.setattr(kernel, "_DEVICES", host.devices)
        try:
            yield
        finally:
            self.acting = before
            if before is not None:
                self._monkeypatch.setattr(kernel, "_DEVICES", before.devices)


class FakeUdp:
    """The connection's socket, of which the plane sets options."""

    def setsockopt(self, *arguments: Any) -> None:
        pass

    def send(self, datagram: bytes) -> None:
        pass
