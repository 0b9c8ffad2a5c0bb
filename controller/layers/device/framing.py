"""Where one NETCONF message ends and the next begins (RFC 6242, 4). Pure."""

from __future__ import annotations

import re

END = b"]]>]]>"
MAX_OCTETS = 8 << 20
_HEADER = re.compile(rb"\n#(?:([1-9][0-9]{0,9})|(#))\n")
_BEGINNING = re.compile(rb"(?:\n(?:#(?:[1-9][0-9]{0,9}|#)?)?)?")  # of a header that is not all here


class FramingError(ValueError):
    """The other end does not keep to RFC 6242, or sends more than anybody needs."""


class Framing:
    """One direction of a session that comes in. Until :meth:`use_chunks` messages end with a mark (4.3)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._message = bytearray()  # chunks of it so far
        self._chunked = False

    def use_chunks(self) -> None:
        """Both ends have said base:1.1 (4.1): from the next octet on messages come in chunks."""
        self._chunked = True

    def feed(self, octets: bytes) -> None:
        """Raises FramingError."""
        self._buffer += octets
        if len(self._buffer) + len(self._message) > MAX_OCTETS:
            raise FramingError(f"a message of more than {MAX_OCTETS} octets")

    def message(self) -> bytes | None:
        """The next whole message; None: it is still on its way. Raises FramingError."""
        return self._by_chunks() if self._chunked else self._by_mark()

    def _by_mark(self) -> bytes | None:
        end = self._buffer.find(END)
        if end < 0:
            return None
        message = bytes(self._buffer[:end])
        del self._buffer[: end + len(END)]
        return message

    def _by_chunks(self) -> bytes | None:
        while True:
            header = _HEADER.match(self._buffer)
            if header is None:
                if not _BEGINNING.fullmatch(self._buffer):
                    raise FramingError("no chunk header where one must be")
                return None
            if header[2]:
                message = bytes(self._message)
                self._message.clear()
                del self._buffer[: header.end()]
                return message
            end = header.end() + int(header[1])
            if int(header[1]) > MAX_OCTETS:
                raise FramingError(f"a chunk of more than {MAX_OCTETS} octets")
            if len(self._buffer) < end:
                return None
            self._message += self._buffer[header.end() : end]
            del self._buffer[:end]


def marked(message: bytes) -> bytes:
    """As it goes out before chunks are in use."""
    return message + END


def chunked(message: bytes) -> bytes:
    """As it goes out in one chunk."""
    return b"\n#%d\n%b\n##\n" % (len(message), message)
