"""Keeps plaintext that claims to come from a tunnel's peer from being accepted on the underlay."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kms.tunnel.dataplane import addressing
from kms.tunnel.errors import Unavailable

logger = logging.getLogger(__name__)

_STRICT = "1"


class UnderlayGuard:
    """Settings of the host; what they were before is put back by :meth:`withdraw`.

    Of some the value for all interfaces undoes that of one. Whoever changes them finds them changed back by
    :meth:`hold`.
    """

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._wanted: dict[str, Callable[[str], str]] = {}  # setting -> from what it is to what it shall be
        self._before: dict[str, str] = {}

    def filter_sources(self) -> None:
        """Strict reverse-path filtering (RFC 3704, 2.2): the route to a tunnel's peer leads into the tunnel, so that
        nothing from it is taken on the underlay. The greater of an interface's value and that for all holds, and the
        loose one is the greater."""
        self._want(f"ipv4/conf/{self._interface}/rp_filter", lambda _: _STRICT)
        self._want("ipv4/conf/all/rp_filter", lambda value: min(value, _STRICT))

    def refuse_ipv6(self) -> None:
        """Linux filters no IPv6 packets by the way back, but the underlay has no use for any. May be done twice."""
        self._want(f"ipv6/conf/{self._interface}/disable_ipv6", lambda _: "1")

    def keep_policies(self) -> None:
        """Where the kernel opens, its policies say whose packets may come out: none of these may switch them off."""
        for family in ("ipv4", "ipv6"):
            self._want(f"{family}/conf/all/disable_policy", lambda _: "0")
        self._want("ipv4/conf/all/disable_xfrm", lambda _: "0")

    def hold(self) -> str | None:
        """Put right what has been changed; what cannot be put right, in words."""
        wrong = [message for name in self._wanted if (message := self._held(name)) is not None]
        return ", ".join(wrong) or None

    def withdraw(self) -> None:
        for name, value in self._before.items():
            addressing.write_sysctl(name, value)
        self._before.clear()
        self._wanted.clear()

    def _want(self, name: str, wanted: Callable[[str], str]) -> None:
        """Raises Unavailable when it is not so and cannot be made so."""
        self._wanted[name] = wanted
        self._set(name)

    def _held(self, name: str) -> str | None:
        try:
            if self._set(name):
                logger.warning("%s had been changed and is as it shall be again", name)
        except Unavailable as error:
            return str(error)
        return None

    def _set(self, name: str) -> bool:
        """Whether it had to be changed."""
        value = addressing.read_sysctl(name)
        wanted = None if value is None else self._wanted[name](value)
        if value is None or wanted is None or value == wanted:
            return False
        self._before.setdefault(name, value)
        addressing.write_sysctl(name, wanted)
        return True
