"""The TUN device of a connection. The only file that opens /dev/net/tun.

Segmentation and checksums are left to us (IFF_VNET_HDR): one read or write moves up to 64 KB of a stream.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from kms.tunnel.errors import Conflict, Unavailable

_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_TUNSETOFFLOAD = 0x400454D0
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6, _TUN_F_TSO_ECN = 0x01, 0x02, 0x04, 0x08
_TUN_F_USO = 0x20 | 0x40  # for IPv4 and IPv6, since Linux 6.2


class TunDevice:
    """A layer-3 interface whose packets are read from and written to ``fd``; it vanishes with the descriptor."""

    def __init__(self, name: str) -> None:
        """Create ``name`` in this process's network namespace. Raises Conflict or Unavailable."""
        self.name = name
        try:
            self.fd = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"{_DEVICE}: {error.strerror}") from error
        try:
            fcntl.ioctl(
                self.fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR)
            )
            self.has_uso = self._offload()
        except OSError as error:
            os.close(self.fd)
            if error.errno in (errno.EBUSY, errno.EEXIST, errno.EINVAL):
                raise Conflict("connection.interface", f"an interface {name} exists already") from error
            raise Unavailable(f"cannot create TUN device {name}: {error.strerror}") from error

    def _offload(self) -> bool:
        """Take over segmentation; whether that of UDP too."""
        usual = _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN
        try:
            fcntl.ioctl(self.fd, _TUNSETOFFLOAD, usual | _TUN_F_USO)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            fcntl.ioctl(self.fd, _TUNSETOFFLOAD, usual)
            return False
        return True

    def close(self) -> None:
        """Remove the interface. Harmless when it is gone."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
