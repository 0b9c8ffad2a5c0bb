"""The TUN device of a connection. The only file that opens /dev/net/tun."""

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
            fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        except OSError as error:
            os.close(self.fd)
            if error.errno in (errno.EBUSY, errno.EEXIST, errno.EINVAL):
                raise Conflict("connection.interface", f"an interface {name} exists already") from error
            raise Unavailable(f"cannot create TUN device {name}: {error.strerror}") from error

    def close(self) -> None:
        """Remove the interface. Harmless when it is gone."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
