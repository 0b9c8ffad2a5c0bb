"""Asks the kernel whether a generic netlink family exists (linux/genetlink.h), e.g. Open vSwitch's kernel datapath.

The question loads the module that offers the family where there is one, so that no modprobe is needed, and changes
nothing else.
"""

from __future__ import annotations

import errno
import socket
import struct

_NETLINK_GENERIC = 16
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_FAMILY_NAME_MAX = 15
_TIMEOUT_S = 60.0  # it loads a module first, and a slow machine takes its time for that

_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_GENLMSGHDR = struct.Struct("=BBH")  # command, version, reserved
_NLATTR = struct.Struct("=HH")  # length without padding, type


class GenetlinkError(Exception):
    """The kernel answered neither with the family nor with its absence."""


def encode_family_request(family: str, sequence: int) -> bytes:
    """CTRL_CMD_GETFAMILY by name; the name is ASCII of at most 15 characters."""
    name = family.encode("ascii") + b"\0"
    if not 1 < len(name) <= _FAMILY_NAME_MAX + 1:
        raise ValueError(f"not a generic netlink family name: {family!r}")
    attribute = _NLATTR.pack(_NLATTR.size + len(name), _CTRL_ATTR_FAMILY_NAME) + name
    attribute += bytes(-len(attribute) % 4)
    body = _GENLMSGHDR.pack(_CTRL_CMD_GETFAMILY, 1, 0) + attribute
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _GENL_ID_CTRL, _NLM_F_REQUEST, sequence, 0) + body


def decode_family_reply(message: bytes) -> int | None:
    """The family's number, None where the kernel does not have it; GenetlinkError for anything else."""
    try:
        length, kind, _flags, _sequence, _port = _NLMSGHDR.unpack_from(message)
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", message, _NLMSGHDR.size)
            if code == -errno.ENOENT:
                return None
            raise GenetlinkError(f"the kernel answered {errno.errorcode.get(-code, code)}")
        offset = _NLMSGHDR.size + _GENLMSGHDR.size
        while offset < min(length, len(message)):
            size, attribute = _NLATTR.unpack_from(message, offset)
            if attribute == _CTRL_ATTR_FAMILY_ID:
                (number,) = struct.unpack_from("=H", message, offset + _NLATTR.size)
                return int(number)
            if size < _NLATTR.size:
                break
            offset += size + -size % 4
    except struct.error as error:
        raise GenetlinkError("truncated answer") from error
    raise GenetlinkError("an answer without a family number")


def family_id(family: str) -> int | None:
    """The number of a generic netlink family, None where this kernel does not offer it."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.bind((0, 0))
        kernel.send(encode_family_request(family, sequence=1))
        return decode_family_reply(kernel.recv(65536))
