"""Keeps plaintext that claims to come from a tunnel's peer from being accepted on the underlay."""

from __future__ import annotations

from kms.tunnel.dataplane import addressing


class UnderlayGuard:
    """Settings of the underlay interface; what they were before is put back by :meth:`withdraw`."""

    def __init__(self, interface: str) -> None:
        self._rp_filter = f"ipv4/conf/{interface}/rp_filter"
        self._disable_ipv6 = f"ipv6/conf/{interface}/disable_ipv6"
        self._before: dict[str, str] = {}

    def filter_sources(self) -> None:
        """Strict reverse-path filtering (RFC 3704, 2.2): the route to a tunnel's peer leads into the tunnel, so that
        nothing from it is taken on the underlay."""
        self._set(self._rp_filter, "1")

    def refuse_ipv6(self) -> None:
        """Linux filters no IPv6 packets by the way back, but the underlay has no use for any. May be done twice."""
        self._set(self._disable_ipv6, "1")

    def withdraw(self) -> None:
        for name, value in self._before.items():
            addressing.write_sysctl(name, value)
        self._before.clear()

    def _set(self, name: str, value: str) -> None:
        before = addressing.read_sysctl(name)
        if before is not None:
            self._before.setdefault(name, before)
            addressing.write_sysctl(name, value)
