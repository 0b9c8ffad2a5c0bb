"""A client's port: a persistent TAP device that the network has made. Without a reader it has no carrier."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from kms.tunnel.errors import Conflict, NotFound, Unavailable

_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETCARRIER, _TUNGETFEATURES = 0x400454CA, 0x400454E2, 0x800454CF
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_IFF_NO_CARRIER = 0x0040  # since Linux 6.2


class TapPort:
    """Frames are read from and written to ``fd``. The device outlives the descriptor, and then has no carrier."""

    def __init__(self, name: str, exists: bool) -> None:
        """Take over ``name``, which ``exists`` in this process' network namespace. It begins without carrier.

        Raises NotFound (attaching would make another, which nobody sees), Conflict or Unavailable.
        """
        if not exists:
            raise NotFound(f"there is no interface {name}")
        self.name = name
        try:
            self.fd = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"{_DEVICE}: {error.strerror}") from error
        try:
            features = int.from_bytes(fcntl.ioctl(self.fd, _TUNGETFEATURES, bytes(4)), "little")
            flags = _IFF_TAP | _IFF_NO_PI | features & _IFF_NO_CARRIER
            fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            self.has_carrier = True
            self.set_carrier(False)
        except OSError as error:
            os.close(self.fd)
            if error.errno in (errno.EBUSY, errno.EINVAL):
                raise Conflict("interface", f"{name} is no TAP device, or another card's") from error
            raise Unavailable(f"cannot attach to {name}: {error.strerror}") from error

    def set_carrier(self, has_carrier: bool) -> None:
        """Raises OSError when the device is gone."""
        if has_carrier is not self.has_carrier:
            fcntl.ioctl(self.fd, _TUNSETCARRIER, struct.pack("=i", has_carrier))
            self.has_carrier = has_carrier

    def close(self) -> None:
        """Its carrier is gone with this."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
