"""The probe packets: ICMP echo messages (RFC 792) and UDP datagrams that say whose they are and which they are."""

from __future__ import annotations

import socket
import struct

ECHO_REPLY, ECHO_REQUEST = 0, 8  # RFC 792
MAGIC = b"QSlice\x00\x01"
ECHO = struct.Struct("!BBHHH8s8sI")  # type, code, checksum, identifier, sequence, magic, token, long sequence
DATAGRAM = struct.Struct("!8sI")  # flow, sequence number
SOL_RAW, ICMP_FILTER = 255, 1  # linux/icmp.h
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 8 << 20


def icmp_checksum(words: bytes) -> int:
    """RFC 1071 over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(token: bytes, sequence: int) -> bytes:
    """An echo request that carries whose it is (``token``, 8 bytes) and a sequence number beyond 16 bits."""
    head = ECHO.pack(ECHO_REQUEST, 0, 0, 0x5153, sequence & 0xFFFF, MAGIC, token, sequence)
    return head[:2] + struct.pack("!H", icmp_checksum(head)) + head[4:]


def parse_echo(packet: bytes) -> tuple[int, bytes, int] | None:
    """(type, token, sequence) of one of our echo messages in an IPv4 packet, None for anything else."""
    offset = (packet[0] & 15) * 4
    if len(packet) < offset + ECHO.size:
        return None
    kind, _, _, _, _, magic, token, sequence = ECHO.unpack_from(packet, offset)
    return (kind, token, sequence) if magic == MAGIC else None


def icmp_sender(source: str, device: str | None = None) -> socket.socket:
    """A raw socket that sends from ``source`` and receives nothing, tied to ``device`` when one is named."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF))
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((source, 0))
    except OSError:
        sock.close()
        raise
    return sock


def icmp_receiver() -> socket.socket:
    """A raw socket that receives echo requests and replies, without waiting."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY | 1 << ECHO_REQUEST) & 0xFFFFFFFF))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    sock.setblocking(False)
    return sock


def datagram_receiver(address: str, port: int) -> socket.socket:
    """A UDP socket with room for a burst, without waiting."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock
