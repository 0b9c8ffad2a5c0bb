"""What somebody changes by hand on a host: put right within seconds, or told, and never called reachable meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.tunnel_lab import UNDERLAY, Lab, Pair
from tests.support.wait import PATIENCE, wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_tun]
_NUMBERS = count(1)
_SECONDS = 8.0
LARGEST = 1438 - 28  # octets of a ping's data


@contextmanager
def connection(lab: Lab, *, has_ipv6: bool = False, **options: Any) -> Iterator[Pair]:
    pair = Pair(lab, next(_NUMBERS), options, has_ipv6)
    try:
        pair.add()
        pair.wait_up()
        wait_until(lambda: reaches(pair), _SECONDS)
        yield pair
    finally:
        for client in lab.clients.values():
            client.ask("remove", connection_id=pair.id)


def reaches(pair: Pair) -> bool:
    return all(pair.stats(name)["reachable"] is True for name in "ab")


def passes(pair: Pair, size: int = 56) -> bool:
    return " 0% packet loss" in pair.ping("-c", "2", "-i", "0.05", "-M", "do", "-s", str(size))


def passes6(pair: Pair) -> bool:
    return " 0% packet loss" in pair.ping6("-c", "2", "-i", "0.05")


BY_HAND = {
    "down": "ip link set dev {interface} down",
    "down and up": "ip link set dev {interface} down; ip link set dev {interface} up",
    "addresses": "ip addr flush dev {interface}",
    "addresses of IPv6": "ip -6 addr flush dev {interface}",
    "routes": "ip route flush dev {interface}; ip -6 route flush dev {interface}",
    "all routes": "ip route flush table main; ip -6 route flush table main; "
    "ip route add 172.20.0.0/16 dev data0; ip route add {kme} dev mgmt0",
    "MTU": "ip link set dev {interface} mtu 1300",
    "MTU below what IPv6 may have": "ip link set dev {interface} mtu 600",
}


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND.keys())
def test_fault_29_what_is_changed_on_a_tunnels_interface_is_put_right(lab: Lab, name: str, change: str) -> None:
    with connection(lab, has_ipv6=True) as pair:
        wait_until(lambda: passes(pair, LARGEST), _SECONDS)
        kme = "10.254.1.0/30" if name == "a" else "10.254.2.0/30"
        command = change.format(interface=pair.interface, kme=kme)
        agent = lab.processes[f"agent-{name}"]
        agent.send_signal(signal.SIGSTOP)
        try:  # nobody puts it right
            lab.run(name, "sh", "-c", command)
            assert not (passes(pair, LARGEST) and passes6(pair))
        finally:
            agent.send_signal(signal.SIGCONT)
        wait_until(lambda: passes(pair, LARGEST) and passes6(pair), _SECONDS)
        wait_until(lambda: reaches(pair), _SECONDS)
        assert f"connection {pair.id}: " in (lab.directory / f"agent-{name}.log").read_text()


def test_fault_29_the_underlays_address_comes_back_and_so_does_a_clear_connection(lab: Lab) -> None:
    with connection(lab) as pair, connection(lab, mode="clear", key_source="none") as clear:
        for name in "ab":
            lab.run(name, "ip", "addr", "flush", "dev", "data0")
            wait_until(lambda: passes(pair, LARGEST) and passes(clear, 1472), _SECONDS)
            assert UNDERLAY[name] in lab.run(name, "ip", "addr", "show", "dev", "data0")
        lab.run("a", "ip", "route", "del", clear.address("b"))
        wait_until(lambda: passes(clear, 1472), _SECONDS)
        lab.run("a", "sh", "-c", "ip link set dev data0 down; ip link set dev data0 up")
        wait_until(lambda: passes(pair, LARGEST) and passes(clear, 1472), _SECONDS)


@pytest.mark.parametrize("name", "ab")
@pytest.mark.parametrize("mode", ["esp", "clear"])
def test_fault_29_large_packets_that_are_lost_are_told_though_small_ones_pass(lab: Lab, name: str, mode: str) -> None:
    """An MTU that shrinks: of this host's underlay, or somewhere on the way and in silence, as the peer's is."""
    options: dict[str, Any] = {"mode": mode, "key_source": "none"} if mode == "clear" else {}
    largest = LARGEST if mode == "esp" else 1472
    with connection(lab, **options) as pair:
        wait_until(lambda: passes(pair, largest), _SECONDS)
        lab.run(name, "ip", "link", "set", "dev", "data0", "mtu", "1400")
        try:
            # What the probes asked before: small datagrams arrive, in either direction.
            wait_until(lambda: passes(pair), _SECONDS)
            assert not passes(pair, largest)
            wait_until(lambda: any(pair.stats(end)["reachable"] is False for end in "ab"), _SECONDS)
            told = [pair.stats(end)["warning"] or "" for end in "ab"]
            assert any("packets of" in warning or "carries 1400" in warning for warning in told), told
            wait_until(lambda: passes(pair), _SECONDS)
        finally:
            lab.run(name, "ip", "link", "set", "dev", "data0", "mtu", "1500")
        wait_until(lambda: reaches(pair) and passes(pair, largest), _SECONDS)


HIDDEN = {
    "a rule of routing": ("ip rule add pref 1 to {peer} blackhole", "ip rule del pref 1"),
    "a better route": ("ip route add blackhole {peer} metric 0 table 7; ip rule add pref 2 to {peer} lookup 7",
                       "ip rule del pref 2; ip route flush table 7"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "undo"), HIDDEN.values(), ids=HIDDEN.keys())
def test_fault_02_a_probe_takes_the_way_that_packets_take(lab: Lab, change: str, undo: str) -> None:
    """What keeps packets from the SA, and is none of the agent's business, is told all the same."""
    with connection(lab) as pair:
        lab.run("a", "sh", "-c", change.format(peer=pair.address("b")))
        try:
            assert not passes(pair)
            wait_until(lambda: pair.stats("b")["reachable"] is False, _SECONDS)
            assert pair.stats("a")["state"] == pair.stats("b")["state"] == "up"
            assert pair.stats("b")["warning"]
        finally:
            lab.run("a", "sh", "-c", undo)
        wait_until(lambda: reaches(pair) and passes(pair), _SECONDS)


def test_fault_29_the_watch_tells_it_at_once(lab: Lab) -> None:
    with connection(lab) as pair:
        token = lab.clients["b"].do("watch", since=None, timeout_s=0.0)["token"]
        lab.run("b", "ip", "link", "set", "dev", "data0", "mtu", "1400")
        try:
            told: dict[str, Any] = {}
            while not told.get("warning"):
                answer = lab.clients["b"].do("watch", since=token, timeout_s=_SECONDS * PATIENCE)
                assert answer["connections"], "nothing was told"
                token, told = answer["token"], answer["connections"].get(pair.id, {})
        finally:
            lab.run("b", "ip", "link", "set", "dev", "data0", "mtu", "1500")
        wait_until(lambda: pair.stats("b")["warning"] is None and reaches(pair), _SECONDS)


SETTINGS: dict[str, tuple[str, str, str]] = {  # what it is set to, and what it shall be
    "for one": ("net/ipv4/conf/data0/rp_filter", "0", "1"),
    "for one, loose": ("net/ipv4/conf/data0/rp_filter", "2", "1"),
    "for all": ("net/ipv4/conf/all/rp_filter", "2", "1"),
}


@pytest.mark.parametrize(("name", "undone", "held"), SETTINGS.values(), ids=SETTINGS.keys())
def test_fault_29_a_setting_that_undoes_a_guard_is_put_right_and_inherited_ones_too(
    lab: Lab, name: str, undone: str, held: str
) -> None:
    def value() -> str:
        return lab.run("a", "cat", f"/proc/sys/{name}").strip()

    def put(what: str) -> None:
        lab.run("a", "sh", "-c", f"echo {what} > /proc/sys/{name}")

    put(undone)
    wait_until(lambda: value() == held, _SECONDS)
    lab.stop_agent("a")
    before = value()
    put(undone)
    try:
        lab.start_agent("a")
        assert value() == held
        lab.stop_agent("a")
        assert value() == undone, "what the machine had is put back"
    finally:
        put(before)
        lab.start_agent("a")


def test_fault_29_ipv6_that_comes_back_on_the_underlay_is_switched_off_again(lab: Lab) -> None:
    path = Path("/proc/sys/net/ipv6/conf/data0/disable_ipv6")
    if not path.parent.parent.exists():
        pytest.skip("this kernel has no IPv6")
    with connection(lab, has_ipv6=True):
        lab.run("a", "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; true")
        wait_until(lambda: lab.run("a", "cat", str(path)).strip() == "1", _SECONDS)


def test_fault_29_our_own_probes_are_no_traffic(lab: Lab) -> None:
    with connection(lab, probe_s=0.05) as pair:
        before = [pair.stats(name) for name in "ab"]
        wait_until(lambda: pair.stats("a")["sas"][-1]["tx_packets"] >= 1 or sent(pair) >= 2, _SECONDS * 2)
        for stats, name in zip(before, "ab", strict=True):
            now = pair.stats(name)
            assert [now[n] for n in COUNTED] == [stats[n] for n in COUNTED]


COUNTED = ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")


def sent(pair: Pair) -> int:
    return sum(sa["tx_packets"] for sa in pair.stats("a")["sas"])
